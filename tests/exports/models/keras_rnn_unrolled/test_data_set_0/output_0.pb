B
Identity:0Jkë¾N¾‡3¾N’>W:?