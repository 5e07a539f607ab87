"""The rate falls along half a cosine, slowly at both ends, from the full rate to final times it in the last round."""

from __future__ import annotations

import math

from fedchunk.orchestrator.methods.schedules._progress import between, progress
from fedchunk.orchestrator.settings.option_types import Share


def cosine(round_index: int, rounds: int, final: Share = 0.0) -> float:
    """``final + (1 - final) * (1 + cos(pi * p)) / 2`` with ``p = (round_index - 1) / (rounds - 1)``.

    Cosine annealing without restarts (Loshchilov and Hutter 2017, SGDR, equation 5), by rounds. A run of one round
    keeps the full rate; rounds after the last one keep ``final``. With ``final = 0``, nothing is learned in the last
    round.

    Args:
        round_index: the round, from 1.
        rounds: rounds of the run, >= 1.
        final: the factor of the last round, 0 <= final <= 1.

    Returns:
        The factor that the base rate is multiplied with.

    Example:
        >>> [round(cosine(round_index, 5), 3) for round_index in (1, 2, 3, 5)]
        [1.0, 0.854, 0.5, 0.0]
    """
    return between(final, (1 - math.cos(math.pi * progress(round_index, rounds))) / 2)
