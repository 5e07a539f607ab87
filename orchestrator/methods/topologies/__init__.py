"""Topologies: who may send to whom. A file for each."""
