"""The rates of a round: a base rate of the settings, times a schedule's factor, or one of a list."""

from __future__ import annotations

import math
from collections.abc import Callable

from fedchunk.orchestrator.settings.joined import Sections

RateOfRound = Callable[[int], float]
"""The rate of a round, counted from 1. Raises ComponentFailed: a schedule raised, or gave no finite factor >= 0."""


def learning_rates(settings: Sections) -> RateOfRound:
    """``learning_rate`` of each round."""
    training = settings.training
    return _rates(settings, "learning_rate_schedule", training.learning_rate, training.learning_rate_schedule)


def server_learning_rates(settings: Sections) -> RateOfRound:
    """``server_learning_rate`` of each round."""
    own = settings.federation
    return _rates(
        settings, "server_learning_rate_schedule", own.server_learning_rate, own.server_learning_rate_schedule
    )


def _rates(settings: Sections, kind: str, base: float, schedule: str | tuple[float, ...]) -> RateOfRound:
    if not isinstance(schedule, str):
        return lambda round_index: schedule[min(round_index, len(schedule)) - 1] if schedule else base
    bound, rounds = settings.bound(kind), settings.federation.federated_learning_rounds

    def rate(round_index: int) -> float:
        factor = bound(round_index=round_index, rounds=rounds)
        with bound.named():
            number = factor.item() if hasattr(factor, "item") else factor
        if (
            isinstance(number, bool)
            or not isinstance(number, int | float)
            or not (math.isfinite(number) and number >= 0)
        ):
            raise bound.failed(f"returned {number!r} in round {round_index}, expected a finite factor of at least 0")
        return base * number

    return rate
