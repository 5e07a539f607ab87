"""Sweeps: which trials there are, and where each stands. Who runs them is :mod:`fedchunk.orchestrator.sweep`."""
