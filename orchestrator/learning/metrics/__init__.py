"""Metrics: each a file, a function or a class."""
