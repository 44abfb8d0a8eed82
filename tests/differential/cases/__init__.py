"""One file a family of operators; each registers functions that draw a case (see ../case.py)."""
