#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define CAPACITY 8

struct ring { int items[CAPACITY]; size_t head, count; };

static bool push(struct ring *r, int value) {
    if (r->count == CAPACITY) return false;
    r->items[(r->head + r->count++) % CAPACITY] = value;
    return true;
}

static bool pop(struct ring *r, int *value) {
    if (r->count == 0) return false;
    *value = r->items[r->head];
    r->head = (r->head + 1) % CAPACITY;
    r->count--;
    return true;
}

int main(void) {
    struct ring r = {0};
    for (int i = 0; i < 10; i++) push(&r, i * i);
    for (int v; pop(&r, &v);) printf("%d\n", v);
    return 0;
}
