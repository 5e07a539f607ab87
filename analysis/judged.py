"""What recorded runs are judged by, and how each round did."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from fedchunk.analysis.load import Run
from fedchunk.analysis.metric_data import metric_data
from fedchunk.orchestrator.core.errors import RecordsError
from fedchunk.orchestrator.core.target import Target, recorded_target

KNOWN = {"accuracy": "higher", "loss": "lower"}
"""Which way those go that every run may have, however old it is."""


def target_of(run: Run) -> Target:
    """What the run is judged by: accuracy, unless it says something else."""
    return recorded_target(run.config.get("target"))


def common_target(runs: Sequence[Run], metric: str | None = None, better: str | None = None) -> Target:
    """What runs are compared by: ``metric``, or what all of them are judged by.

    Args:
        runs: the runs.
        metric: as it is called in tables.
        better: ``higher`` or ``lower``; None: as the runs say.

    Raises:
        ValueError: they are judged by different metrics, or say nothing of which way this one goes.
    """
    own = {run.path: target_of(run) for run in runs}
    if metric is None:
        names = sorted({target.metric for target in own.values()})
        if len(names) > 1:
            raise ValueError(f"metric: the runs are judged by {' and by '.join(names)}; name the one to compare by")
        metric = names[0]
    if better is None:
        said = {direction for run in runs if (direction := _direction(run, metric)) is not None}
        if len(said) != 1:
            found = "differently" if said else "nothing"
            raise ValueError(f"better: of {metric} the runs say {found}; say what is better: higher, or lower")
        better = said.pop()
    if better not in ("higher", "lower"):
        raise ValueError(f"better: got {better!r}, allowed: higher, lower")
    return Target(metric, better == "lower")


def best_round(run: Run) -> tuple[int, float] | None:
    """The round in which a run was at its best, the first of equal ones, and the value; None if none was evaluated."""
    target = target_of(run)
    known = [(row["round"], value) for row in run.rounds.to_pylist() if (value := target.of(row)) is not None]
    return max(known, key=lambda one: target.gain(one[1]), default=None)


def _direction(run: Run, metric: str) -> str | None:
    known: dict[str, str] = KNOWN | (run.config.get("target") or {}).get("directions", {})
    return known.get(metric, known.get(metric.partition("/")[0]))


def measured(run: Run, metric: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Rounds in which a metric was measured, and its values; of the coordinator's model, of peers the mean.

    Raises:
        RecordsError: there are none.
    """
    rounds = run.rounds
    for column in {"accuracy": ("accuracy", "client_accuracy_mean"), "loss": ("loss",)}.get(metric, ()):
        known = rounds.filter(pc.is_valid(rounds[column]))
        if known.num_rows:
            return known["round"].to_numpy().astype(np.int64), known[column].to_numpy()
    table = metric_data(run.metrics)
    own = table.filter(pc.equal(table["name"], metric))
    if own.num_rows:
        return own["round"].to_numpy().astype(np.int64), own["value"].to_numpy()
    if metric == "accuracy" and target_of(run).metric == "accuracy":
        raise RecordsError(f"{run.path}: no round was evaluated, so there is no accuracy to compare; leave the run out")
    others = table["name"].unique().to_pylist()
    there = ", ".join(dict.fromkeys([*KNOWN, *others]))
    raise RecordsError(f"{run.path}: {metric} was not measured; a run may have {there}. Name another, or leave it out")
