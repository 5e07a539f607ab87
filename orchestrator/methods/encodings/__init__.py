"""Encodings: how values travel. A file for each."""
