"""What a grid is made of: points, what was tried to find their settings, and what they must reach."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

Value = bool | int | float | str
SEEDS = (1, 2, 3, 4, 5)
TUNING_SEED = 0
"""Settings were chosen with this seed; no result uses it."""
BASELINE = "full_exchange"


@dataclass(frozen=True)
class Target:
    """A row of the table of what must be reached."""

    word: str
    """must or aim, and where."""
    share: float
    """Of the bytes of float32 full exchange, both directions; 0.1 is 10 %."""
    within: float
    """Points of accuracy below ``against``, mean over the seeds; negative: above it."""
    candidate: str
    """The one point that was named for it before its seeds ran."""
    against: str = BASELINE
    """The point that it is held against."""
    surely: float | None = None
    """Points of accuracy below that the 95 % interval must exclude; None: the mean alone counts."""


@dataclass(frozen=True)
class Point:
    """One set of settings, run with every seed."""

    name: str
    group: str
    """baseline, ours, rival or trial."""
    label: str
    settings: Mapping[str, Value] = field(default_factory=dict)
    seeds: tuple[int, ...] = SEEDS
    baseline: str = BASELINE
    """The full exchange whose bytes are 100 %, and against which it is measured."""
    last_evaluations: int = 5
    """Evaluations at the end of a run whose mean is its accuracy."""
    tried: tuple[Mapping[str, Value], ...] = ()
    """What was tried with the tuning seed instead: each changes these settings."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "settings", MappingProxyType(dict(self.settings)))

    def trials(self) -> tuple[Point, ...]:
        """These settings and each of what was tried instead, with the tuning seed."""
        if not self.tried:
            return ()
        return tuple(self._trial(change) for change in ({}, *self.tried))

    def _trial(self, wanted: Mapping[str, Value]) -> Point:
        change = {key: value for key, value in wanted.items() if self.settings.get(key) != value}
        label = ", ".join(f"{key} {value}" for key, value in change.items()) or "as it is"
        name = f"{self.name}.{'+'.join(f'{key}={value}' for key, value in change.items()) or 'as_it_is'}"
        settings = {**self.settings, **change}
        return Point(name, "trial", label, settings, (TUNING_SEED,), self.baseline, self.last_evaluations)
