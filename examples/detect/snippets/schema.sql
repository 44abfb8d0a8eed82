CREATE TABLE customers (
    id          INTEGER PRIMARY KEY,
    name        VARCHAR(100) NOT NULL,
    created_at  TIMESTAMP DEFAULT CURRENT_TIMESTAMP
);

CREATE TABLE orders (
    id           INTEGER PRIMARY KEY,
    customer_id  INTEGER NOT NULL REFERENCES customers (id) ON DELETE CASCADE,
    total        NUMERIC(10, 2) CHECK (total >= 0)
);

CREATE INDEX orders_by_customer ON orders (customer_id);

INSERT INTO customers (id, name) VALUES (1, 'Ada'), (2, 'Grace');

SELECT c.name, COUNT(o.id) AS orders, COALESCE(SUM(o.total), 0) AS revenue
FROM customers c
LEFT JOIN orders o ON o.customer_id = c.id
WHERE c.created_at > '2024-01-01'
GROUP BY c.name
HAVING COUNT(o.id) > 0
ORDER BY revenue DESC
LIMIT 10;
