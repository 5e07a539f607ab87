"""Scores: how much each chunk matters to a client, one number per chunk. A file for each."""
