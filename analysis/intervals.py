"""Means of a few measurements, and how sure they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from scipy.special import stdtrit

CONFIDENCE = 0.95


def student_t(degrees: int) -> float:
    """The 97.5 % point of Student's t: half a 95 % interval has this many standard errors."""
    return float(stdtrit(degrees, (1 + CONFIDENCE) / 2))


@dataclass(frozen=True)
class Interval:
    """A mean over seeds and the half of its 95 % t-interval."""

    mean: float
    half_width: float | None
    """None for a single value: it says nothing of how others would be."""

    @classmethod
    def of(cls, values: Sequence[float]) -> Interval:
        """The interval of at least one value."""
        if len(values) < 2:
            return cls(values[0], None)
        return cls(fmean(values), student_t(len(values) - 1) * stdev(values) / len(values) ** 0.5)
