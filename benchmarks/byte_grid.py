"""The grid of accuracy_per_byte.py: what each point changes in the common settings, and why it is there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from types import MappingProxyType

Value = bool | int | float | str
SEEDS = (1, 2, 3)
TUNING_SEED = 0
"""Settings were chosen with this seed, which no result uses."""
BASELINE = "full_exchange"


@dataclass(frozen=True)
class Target:
    """A row of the issue's table."""

    word: str
    """must, aim or moonshot."""
    share: float
    """Of the bytes of float32 full exchange, both directions; 0.1 is 10 %."""
    within: float
    """Points of accuracy below full exchange, mean over the seeds."""
    candidate: str
    """The one point that was named for it before its three seeds ran."""


@dataclass(frozen=True)
class Point:
    """One set of settings, run with every seed."""

    name: str
    group: str
    """baseline, feedback (ours), opponent, or tuning."""
    label: str
    settings: Mapping[str, Value] = field(default_factory=dict)
    seeds: tuple[int, ...] = SEEDS

    def __post_init__(self) -> None:
        object.__setattr__(self, "settings", MappingProxyType(dict(self.settings)))


def feedback(uplink: float, downlink: float, encoding: str = "int4", **more: Value) -> dict[str, Value]:
    """Error feedback in both directions: small chunks, the most withheld first, packed tightly.

    964 chunks of 64 values, the smallest chunks that the layout is meant for: their mask costs 124 bytes a message.
    """
    return {
        "chunking": True,
        "chunking_parts": 964,
        "chunk_score": "accumulated",
        "chunk_reconstruction": "error_feedback",
        "chunk_encoding": encoding,
        "chunk_compression": "zstd",
        "initial_model": "seed",
        "sensitivity_percentage": uplink,
        "downlink_sensitivity_percentage": downlink,
    } | more


def contributors(score: str, percentage: float, **more: Value) -> dict[str, Value]:
    """The seed's rule: whoever sent a chunk decides it, in float32."""
    rule: dict[str, Value] = {
        "chunking": True,
        "chunking_parts": 964,
        "chunk_score": score,
        "sensitivity_percentage": percentage,
    }
    return rule | more


OURS: tuple[Point, ...] = ()
GRID: tuple[Point, ...] = (Point(BASELINE, "baseline", "full exchange, float32"), *OURS)


def chosen(pattern: str, seeds: tuple[int, ...] | None) -> list[tuple[Point, int]]:
    """The runs of the points whose names match ``pattern``, seed by seed, so that what is interrupted can be read."""
    points = [point for point in GRID if fnmatch(point.name, pattern)]
    wanted = [(point, seed) for point in points for seed in (point.seeds if seeds is None else seeds)]
    return wanted
