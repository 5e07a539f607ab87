"""The rates of a round: a base rate of the settings, times a schedule's factor, or one of a list."""

from __future__ import annotations

import math

from fedchunk.orchestrator.settings.joined import Sections


def rate_of_round(settings: Sections, round_index: int) -> float:
    """``learning_rate`` of a round, counted from 1.

    Raises:
        ComponentFailed: the schedule raised, or gave something else than a finite factor of at least 0.
    """
    training = settings.training
    return _rate(
        settings, "learning_rate_schedule", training.learning_rate, training.learning_rate_schedule, round_index
    )


def server_rate_of_round(settings: Sections, round_index: int) -> float:
    """``server_learning_rate`` of a round, likewise."""
    own = settings.federation
    return _rate(
        settings,
        "server_learning_rate_schedule",
        own.server_learning_rate,
        own.server_learning_rate_schedule,
        round_index,
    )


def _rate(settings: Sections, kind: str, base: float, schedule: str | tuple[float, ...], round_index: int) -> float:
    if not isinstance(schedule, str):
        return schedule[min(round_index, len(schedule)) - 1] if schedule else base
    bound = settings.bound(kind)
    factor = bound(round_index=round_index, rounds=settings.federation.federated_learning_rounds)
    with bound.named():
        number = factor.item() if hasattr(factor, "item") else factor
    if isinstance(number, bool) or not isinstance(number, int | float) or not (math.isfinite(number) and number >= 0):
        raise bound.failed(f"returned {number!r} in round {round_index}, expected a finite factor of at least 0")
    return base * number
