"""What a run is judged by: one metric, and whether more of it is better. No torch: readers of records use it, too."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

ACCURACY_COLUMNS = ("accuracy", "client_accuracy_mean", "client_accuracy_min", "client_accuracy_max")
OWN_COLUMNS = ("own_target_mean", "own_target_worst_tenth")
TARGET_COLUMNS = ("target", "client_target_mean", "client_target_min", "client_target_max")


@dataclass(frozen=True)
class Target:
    """The metric that stopping, progress, summaries and comparisons look at.

    Example:
        >>> rmse = Target("rmse", lower=True)
        >>> rmse.reached(0.4, goal=0.5), rmse.gain(0.4) > rmse.gain(0.5), rmse.text(0.41234)
        (True, True, '0.4123')
        >>> Target().text(0.961)
        '96.1 %'
    """

    metric: str = "accuracy"
    """As it is called in tables."""
    lower: bool = False
    """Whether less of it is better."""

    @property
    def columns(self) -> tuple[str, str, str, str]:
        """Where the ``rounds`` table has it: of the coordinator's model; mean, least and most of the clients' own."""
        return ACCURACY_COLUMNS if self.metric == "accuracy" else TARGET_COLUMNS

    @property
    def better(self) -> str:
        """``higher`` or ``lower``."""
        return "lower" if self.lower else "higher"

    def gain(self, value: float) -> float:
        """The value so that more is better."""
        return -value if self.lower else value

    def reached(self, value: float, goal: float) -> bool:
        """Whether a value is as good as ``goal``, or better."""
        return self.gain(value) >= self.gain(goal)

    def of_coordinator(self, row: Mapping[str, Any]) -> float | None:
        """The coordinator's model in a row of ``rounds``; None where it was not measured."""
        return _number(row.get(self.columns[0]))

    def of_clients(self, row: Mapping[str, Any]) -> float | None:
        """The mean of the clients' own models in a row of ``rounds``; None where they were not measured."""
        return _number(row.get(self.columns[1]))

    def of(self, row: Mapping[str, Any]) -> float | None:
        """What counts of a row of ``rounds``: the coordinator's model, or the peers' on average."""
        own = self.of_coordinator(row)
        return self.of_clients(row) if own is None else own

    def spread(self, row: Mapping[str, Any]) -> tuple[float | None, float | None]:
        """The worst and the best of the clients' own models in a row of ``rounds``."""
        least, most = (_number(row.get(column)) for column in self.columns[2:])
        return (most, least) if self.lower else (least, most)

    def worst_tenth(self, values: Sequence[float]) -> float:
        """The mean of the worst tenth of some values, rounded up: of 1 to 10 it is the worst, of 11 to 20 the mean of
        the two worst. As q-FFL has the accuracy of the worst 10 % of devices (Li et al. 2020, arXiv 1905.10497).

        Example:
            >>> Target().worst_tenth([0.5, 1.0, 0.75]), Target("rmse", lower=True).worst_tenth([0.5, 1.0, 0.75])
            (0.5, 1.0)
        """
        tenth = sorted(values, key=self.gain)[: math.ceil(len(values) / 10)]
        return math.fsum(tenth) / len(tenth)

    def text(self, value: float | None, digits: int = 1) -> str:
        """A value in words: a percentage of accuracy, a number of anything else; a dash where there is none."""
        if value is None:
            return "-"
        return f"{100 * value:.{digits}f} %" if self.metric == "accuracy" else f"{value:.4g}"

    def recorded(self) -> dict[str, str]:
        """What records say of it."""
        return {"metric": self.metric, "better": self.better}


ACCURACY = Target()
"""What runs of one label a sample are judged by unless they say otherwise, and all were before there were others."""


def recorded_target(values: Mapping[str, Any] | None) -> Target:
    """What :meth:`Target.recorded` gave; accuracy where a record says nothing."""
    return Target(values["metric"], values["better"] == "lower") if values else ACCURACY


def _number(value: Any) -> float | None:
    return None if value is None or (isinstance(value, float) and math.isnan(value)) else float(value)
