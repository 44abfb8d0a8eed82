B
Identity:0J(yÈ>zt—>] >