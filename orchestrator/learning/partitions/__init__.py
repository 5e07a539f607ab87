"""Partitions: each a file, a function that says who holds which samples."""
