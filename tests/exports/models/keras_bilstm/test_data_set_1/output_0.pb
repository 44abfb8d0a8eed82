B
Identity:0J“งา>zi>๓๎ >