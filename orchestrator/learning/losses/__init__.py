"""Losses: each a file, a function of outputs and targets."""
