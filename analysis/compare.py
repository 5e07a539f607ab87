"""Compares recorded runs: accuracy, or another metric, beside bytes and time, over seeds.

Example:
    >>> from fedchunk.analysis.compare import compare
    >>> print(compare(["runs/full-1", "runs/full-2", "runs/chunks-1", "runs/chunks-2"]))  # doctest: +SKIP
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fedchunk.analysis.comparison import Axis, Comparison, Group
from fedchunk.analysis.grouping import differing, grouped, labels
from fedchunk.analysis.intervals import Interval
from fedchunk.analysis.judged import common_target
from fedchunk.analysis.load import Run, load_run
from fedchunk.analysis.method import method_of
from fedchunk.analysis.run_curve import RunCurve, run_curve
from fedchunk.orchestrator.core.links import Links
from fedchunk.orchestrator.core.target import Target

ALLOWED_LOSS = 0.005
"""How much less accurate than the best a run may be that counts as having reached it: half a point."""
ALLOWED_SHARE = 0.01
"""The same of other metrics, as a share of the best."""


def compare(
    runs: Sequence[Run | str | Path],
    target: float | None = None,
    *,
    x: Axis = "bytes",
    links: Links | None = None,
    metric: str | None = None,
    better: str | None = None,
) -> Comparison:
    """Groups runs by their settings and says what each group reached for how many bytes, and in what time.

    Args:
        runs: runs, or their folders. Equal settings but for the seed (and for what changes no result) are one group.
        target: the accuracy to reach, 0 to 1, or the value of another metric; None: half a point (of others 1 % of it)
            worse than the best group with full exchange, or than the best group where there is none.
        x: what accuracy is held against where one thing has to be chosen: ``bytes`` or ``time``.
        links: of the clients (``fedchunk.load_links``): time is what the rounds would have taken over them; None: as it
            was measured.
        metric: what is compared, as it is called in tables, such as ``loss`` or ``f1_macro``; None: what the runs are
            judged by.
        better: ``higher`` or ``lower``, of a metric of which the runs do not say it.

    Raises:
        RecordsError: a folder is not a run's, or a run has no round in which the metric was measured.
        ConfigError: the links lack a client.
        ValueError: no runs, a target that is no share, another ``x``, or runs that are judged by different metrics.
    """
    if not runs:
        raise ValueError("runs: got none, needs at least one")
    if x not in ("bytes", "time"):
        raise ValueError(f"x: got {x!r}, allowed: bytes, time")
    loaded = [run if isinstance(run, Run) else load_run(run, tables=()) for run in runs]
    judged = common_target(loaded, metric, better)
    if target is not None:
        _check_target(target, judged)
    groups = grouped(loaded)
    kept, notes = zip(*(_one_per_seed(group, links, judged) for group in groups), strict=True)
    settings = differing([group[0].config for group in groups])
    names = labels(settings)
    dense = [method_of(group[0].config).full_exchange for group in groups]
    values = [Interval.of([run.final_value for run in curves]).mean for curves in kept]
    source = "as given"
    if target is None:
        target, source = _default_target(names, dense, values, judged)
    totals = [float(np.mean([run.total_bytes if x == "bytes" else run.seconds for run in curves])) for curves in kept]
    front = on_front(totals, [judged.gain(value) for value in values])
    found = [
        Group(name, differ, whole, curves, target, best)
        for name, differ, whole, curves, best in zip(names, settings, dense, kept, front, strict=True)
    ]
    best_first = sorted(found, key=lambda group: -judged.gain(group.value.mean))
    said = tuple(note for some in notes for note in some)
    return Comparison(target, source, tuple(best_first), said, x, links.name if links else None, judged)


def _check_target(target: float, metric: Target) -> None:
    if metric.metric == "accuracy" and not 0 < target <= 1:
        raise ValueError(f"target: got {target:g}, allowed: an accuracy above 0 and at most 1, such as 0.83")
    if not math.isfinite(target):
        raise ValueError(f"target: got {target:g}, allowed: a finite number")


def _default_target(
    names: Sequence[str], dense: Sequence[bool], values: Sequence[float], metric: Target
) -> tuple[float, str]:
    candidates = [i for i, whole in enumerate(dense) if whole] or range(len(names))
    best = max(candidates, key=lambda i: metric.gain(values[i]))
    kind = "best full exchange" if any(dense) else "best group, for want of full exchange"
    if metric.metric == "accuracy":
        return values[best] - ALLOWED_LOSS, f"half a point below the {kind} ({names[best]})"
    worse = ALLOWED_SHARE * abs(values[best])
    side = "above" if metric.lower else "below"
    return values[best] + (worse if metric.lower else -worse), f"1 % {side} the {kind} ({names[best]})"


def on_front(totals: Sequence[float], gains: Sequence[float]) -> list[bool]:
    """Whether no other point costs at most as much and gains at least as much, and is better in one of the two."""
    points = list(zip(totals, gains, strict=True))
    return [
        not any(
            other_cost <= own_cost and other_gain >= own_gain and (other_cost, other_gain) != (own_cost, own_gain)
            for other_cost, other_gain in points
        )
        for own_cost, own_gain in points
    ]


def _one_per_seed(runs: Sequence[Run], links: Links | None, metric: Target) -> tuple[tuple[RunCurve, ...], list[str]]:
    """The longest run of each seed, ascending: a repeated seed is no further evidence; and what is to be said."""
    notes: list[str] = []
    of_seed: dict[int | None, RunCurve] = {}
    for run in sorted(runs, key=lambda run: -run.num_rounds):
        seed = run.config.get("random_seed")
        if seed in of_seed:
            notes.append(f"{run.path}: not counted, repeats random_seed {seed} of {of_seed[seed].path}")
            continue
        of_seed[seed] = run_curve(run, links, metric)
        if run.status != "finished":
            notes.append(f"{run.path}: {run.status}, counted with the {run.num_rounds} rounds that it finished")
    return tuple(of_seed[seed] for seed in sorted(of_seed, key=lambda seed: (seed is None, seed or 0))), notes
