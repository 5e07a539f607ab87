"""The rate is multiplied by factor after every so many rounds (option every) and stays in between."""

from __future__ import annotations

from fedchunk.orchestrator.settings.option_types import Count, PositiveShare


def step(round_index: int, every: Count = 10, factor: PositiveShare = 0.5) -> float:
    """``factor ** floor((round_index - 1) / every)``: 1 in the first ``every`` rounds, then ``factor``, and so on.

    Args:
        round_index: the round, from 1.
        every: rounds between two falls, >= 1.
        factor: what remains of the rate at each fall, 0 < factor <= 1.

    Returns:
        The factor that the base rate is multiplied with.

    Example:
        >>> [step(round_index, every=2) for round_index in (1, 2, 3, 4, 5)]
        [1.0, 1.0, 0.5, 0.5, 0.25]
    """
    return float(factor ** ((round_index - 1) // every))
