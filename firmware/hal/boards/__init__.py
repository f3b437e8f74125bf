"""A module for each board, made by `make generate`; hal/board.py imports the one it needs."""

NAMES = ("devkit", "tbeam")
