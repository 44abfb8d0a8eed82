B
Identity:0Jû³>­`£>W—©>