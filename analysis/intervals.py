"""Means of a few measurements, and how sure they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, stdev

CONFIDENCE = 0.95

FEW = (12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622)
"""Student's t at 97.5 % for 1 to 9 degrees of freedom."""


def student_t(degrees: int) -> float:
    """The 97.5 % point of Student's t: half a 95 % interval has this many standard errors.

    From tables up to 9 degrees of freedom, beyond by the expansion of Abramowitz and Stegun (1964), 26.7.5, which is
    right to 2e-4 there.
    """
    if degrees <= len(FEW):
        return FEW[degrees - 1]
    x = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    first = (x**3 + x) / 4
    second = (5 * x**5 + 16 * x**3 + 3 * x) / 96
    third = (3 * x**7 + 19 * x**5 + 17 * x**3 - 15 * x) / 384
    return x + first / degrees + second / degrees**2 + third / degrees**3


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
