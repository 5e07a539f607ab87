"""Data sets as arrays: what they are made of, and how they are read."""
