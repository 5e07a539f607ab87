"""Recorders: who else is told of every round. A file for each."""
