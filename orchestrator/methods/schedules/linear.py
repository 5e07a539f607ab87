"""The rate falls by the same amount every round, from the full rate in the first to final times it in the last."""

from __future__ import annotations

from fedchunk.orchestrator.methods.schedules._progress import between, progress
from fedchunk.orchestrator.settings.option_types import Share


def linear(round_index: int, rounds: int, final: Share = 0.0) -> float:
    """``1 - (1 - final) * p`` with ``p = (round_index - 1) / (rounds - 1)``.

    A run of one round keeps the full rate; rounds after the last one keep ``final``. With ``final = 0``, nothing is
    learned in the last round.

    Args:
        round_index: the round, from 1.
        rounds: rounds of the run, >= 1.
        final: the factor of the last round, 0 <= final <= 1.

    Returns:
        The factor that the base rate is multiplied with.

    Example:
        >>> [linear(round_index, 5, final=0.5) for round_index in (1, 2, 3, 5)]
        [1.0, 0.875, 0.75, 0.5]
    """
    return between(final, progress(round_index, rounds))
