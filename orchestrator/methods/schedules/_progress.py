"""What schedules over the whole run share: how far the run is, and values between the first and the last."""

from __future__ import annotations


def progress(round_index: int, rounds: int) -> float:
    """How far the run is: 0 in round 1, 1 in round ``rounds`` and later. A run of one round is at its beginning."""
    return min((round_index - 1) / max(rounds - 1, 1), 1.0)


def between(final: float, share: float) -> float:
    """``(1 - share) * 1 + share * final``: exactly 1 and exactly ``final`` at the ends."""
    return (1.0 - share) + share * final
