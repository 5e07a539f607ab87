"""The rate stays as it is in every round."""

from __future__ import annotations


def constant(round_index: int) -> float:
    """1, in every round.

    Args:
        round_index: the round, from 1.

    Example:
        >>> constant(7)
        1.0
    """
    return 1.0
