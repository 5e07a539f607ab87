"""Data sets: each a file, a function that gives a ``Dataset``."""
