"""As many as sensitivity_budget_mb allows, spread evenly over the rounds and clients to come."""

from __future__ import annotations


def budget(num_chunks: int) -> tuple[int, str]:
    """All chunks: the budget, which caps every policy, says how many of them go."""
    return num_chunks, "budget"
