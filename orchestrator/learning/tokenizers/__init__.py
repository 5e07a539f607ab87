"""Tokenizers: each a file, a class that makes tokens of bytes."""
