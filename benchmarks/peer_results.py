"""What comes of the runs: agreement of weights, steady rounds, ratios, verdicts. Plain values in and out."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DROPPED = 3
"""First rounds that do not count: imports, compilation, first touches of data. pfl evaluates in its first, too."""
LEAST_ROUNDS = DROPPED + 3
"""Fewest rounds of a timed run: the dropped ones, two that count, and the last, in which fedchunk evaluates."""
CHECKED_ROUNDS = 3
"""After so many rounds weights are compared. Later, rounding alone lets equal runs part at a ReLU's corner."""
MOST_DIFFERENCE = 1e-5
"""Largest difference of a weight, as a share of the norm of all weights."""
MOST_DEVIATION = 1e-3
"""Norm of the difference, as a share of the way the weights have gone since the start."""


@dataclass(frozen=True)
class Check:
    """Whether a contender does the same work."""

    contender: str
    difference: float | None = None
    deviation: float | None = None
    peak_mb: float | None = None
    versions: dict[str, str] | None = None
    fault: str | None = None
    """Why no time of it counts; None: it counts."""


@dataclass(frozen=True)
class Timed:
    """One timed run."""

    contender: str
    repetition: int
    load: float
    """Of the machine in the minute before (processes that want a core)."""
    first_s: float
    rounds_s: tuple[float, ...]
    """Every round but the first."""
    train_s: tuple[float, ...] = ()
    """Training in every round, the first included."""


def compare(
    weights_P: NDArray[np.float32], reference_P: NDArray[np.float32], initial_P: NDArray[np.float32]
) -> tuple[float, float]:
    """Difference and deviation of weights from the reference's, as :class:`Check` has them."""
    apart_P = weights_P.astype(np.float64) - reference_P
    way = float(np.linalg.norm(reference_P.astype(np.float64) - initial_P))
    difference = float(np.abs(apart_P).max() / np.linalg.norm(reference_P))
    return difference, float(np.linalg.norm(apart_P)) / way


def disagreement(difference: float, deviation: float) -> str | None:
    """Why the weights do not agree, or None."""
    # Written so that nan disagrees.
    if not difference <= MOST_DIFFERENCE:
        return f"final weights differ by {difference:.1e} of their norm, allowed is {MOST_DIFFERENCE:.0e}"
    if not deviation <= MOST_DEVIATION:
        return f"final weights are off by {deviation:.1e} of the way they went, allowed is {MOST_DEVIATION:.0e}"
    return None


def steady(run: Timed) -> tuple[float, ...]:
    """Seconds of the rounds that count: from the fourth to the last but one."""
    return run.rounds_s[DROPPED - 1 : -1]


@dataclass(frozen=True)
class Spread:
    """A median and what lay around it."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(statistics.median(values), min(values), max(values))

    def __mul__(self, factor: float) -> Spread:
        return Spread(self.median * factor, self.least * factor, self.most * factor)


class Results:
    """The timed runs of one workload."""

    def __init__(self, runs: Sequence[Timed]) -> None:
        self._runs = runs

    def names(self) -> list[str]:
        """Who was timed."""
        return list(dict.fromkeys(run.contender for run in self._runs))

    def rounds(self, name: str) -> Spread:
        """Seconds of a steady round, all repetitions together."""
        return Spread.of([seconds for run in self._of(name) for seconds in steady(run)])

    def first(self, name: str) -> Spread:
        """Seconds from the start of the process to the end of the first round."""
        return Spread.of([run.first_s for run in self._of(name)])

    def training(self, name: str) -> float:
        """Median seconds of training in a steady round, all repetitions together."""
        return statistics.median(seconds for run in self._of(name) for seconds in run.train_s[DROPPED:-1])

    def ratio(self, name: str, to: str) -> Spread:
        """Time of a round of ``name`` over that of ``to``, repetition by repetition, because both ran in turn then."""
        return _ratio(self._medians(name), self._medians(to))

    def over_training(self, name: str, of: str) -> Spread:
        """As :meth:`ratio`, over nothing but the training in a round of ``of``."""
        training = {run.repetition: statistics.median(run.train_s[DROPPED:-1]) for run in self._of(of)}
        return _ratio(self._medians(name), training)

    def fastest(self, names: Sequence[str]) -> str | None:
        """Who of ``names`` has the shortest round; None if nobody was timed."""
        timed = [name for name in names if name in self.names()]
        return min(timed, key=lambda name: self.rounds(name).median, default=None)

    def _medians(self, name: str) -> dict[int, float]:
        """Seconds of a steady round in each repetition."""
        return {run.repetition: statistics.median(steady(run)) for run in self._of(name)}

    def _of(self, name: str) -> list[Timed]:
        return [run for run in self._runs if run.contender == name]


def _ratio(over: Mapping[int, float], under: Mapping[int, float]) -> Spread:
    return Spread.of([over[number] / under[number] for number in over.keys() & under.keys()])
