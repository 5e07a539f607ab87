"""Compares recorded runs: accuracy beside bytes, over seeds.

Example:
    >>> from fedchunk.analysis.compare import compare
    >>> print(compare(["runs/full-1", "runs/full-2", "runs/chunks-1", "runs/chunks-2"]))  # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.compute as pc

from fedchunk.analysis.comparison import Comparison, Group, RunCurve
from fedchunk.analysis.grouping import differing, grouped, labels
from fedchunk.analysis.intervals import Interval
from fedchunk.analysis.load import Run, load_run
from fedchunk.analysis.method import method_of
from fedchunk.orchestrator.core.errors import RecordsError

ALLOWED_LOSS = 0.005
"""How much less accurate than the best a run may be that counts as having reached it: half a point."""


def compare(runs: Sequence[Run | str | Path], target: float | None = None) -> Comparison:
    """Groups runs by their settings and says what each group reached for how many bytes.

    Args:
        runs: runs, or their folders. Equal settings but for the seed (and for what changes no result) are one group.
        target: the accuracy to reach, 0 to 1; None: half a point below the best group with full exchange, or below
            the best group where there is none.

    Raises:
        RecordsError: a folder is not a run's, or a run has no evaluated round.
        ValueError: no runs, or a target that is no share.
    """
    if not runs:
        raise ValueError("runs: got none, needs at least one")
    if target is not None and not 0 < target <= 1:
        raise ValueError(f"target: got {target:g}, allowed: an accuracy above 0 and at most 1, such as 0.83")
    loaded = [run if isinstance(run, Run) else load_run(run, tables=()) for run in runs]
    groups = grouped(loaded)
    kept, notes = zip(*(_one_per_seed(group) for group in groups), strict=True)
    settings = differing([group[0].config for group in groups])
    names = labels(settings)
    dense = [method_of(group[0].config).full_exchange for group in groups]
    accuracies = [Interval.of([run.final_accuracy for run in curves]).mean for curves in kept]
    source = "as given"
    if target is None:
        target, source = _default_target(names, dense, accuracies)
    totals = [float(np.mean([run.total_bytes for run in curves])) for curves in kept]
    front = on_front(totals, accuracies)
    found = [
        Group(name, values, whole, curves, target, best)
        for name, values, whole, curves, best in zip(names, settings, dense, kept, front, strict=True)
    ]
    best_first = sorted(found, key=lambda group: -group.accuracy.mean)
    return Comparison(target, source, tuple(best_first), tuple(note for some in notes for note in some))


def _default_target(names: Sequence[str], dense: Sequence[bool], accuracies: Sequence[float]) -> tuple[float, str]:
    candidates = [i for i, whole in enumerate(dense) if whole] or range(len(names))
    best = max(candidates, key=lambda i: accuracies[i])
    kind = "best full exchange" if any(dense) else "best group, for want of full exchange"
    return accuracies[best] - ALLOWED_LOSS, f"half a point below the {kind} ({names[best]})"


def on_front(totals: Sequence[float], accuracies: Sequence[float]) -> list[bool]:
    """Whether no other point has at most these bytes and at least this accuracy, and is better in one of them."""
    points = list(zip(totals, accuracies, strict=True))
    return [
        not any(
            other_bytes <= own_bytes
            and other_accuracy >= own_accuracy
            and (other_bytes, other_accuracy) != (own_bytes, own_accuracy)
            for other_bytes, other_accuracy in points
        )
        for own_bytes, own_accuracy in points
    ]


def _one_per_seed(runs: Sequence[Run]) -> tuple[tuple[RunCurve, ...], list[str]]:
    """The longest run of each seed, ascending: a repeated seed is no further evidence; and what is to be said."""
    notes: list[str] = []
    of_seed: dict[int | None, RunCurve] = {}
    for run in sorted(runs, key=lambda run: -run.num_rounds):
        seed = run.config.get("random_seed")
        if seed in of_seed:
            notes.append(f"{run.path}: not counted, repeats random_seed {seed} of {of_seed[seed].path}")
            continue
        of_seed[seed] = run_curve(run)
        if run.status != "finished":
            notes.append(f"{run.path}: {run.status}, counted with the {run.num_rounds} rounds that it finished")
    return tuple(of_seed[seed] for seed in sorted(of_seed, key=lambda seed: (seed is None, seed or 0))), notes


def run_curve(run: Run) -> RunCurve:
    """The accuracy and bytes of a run. Raises RecordsError where no round was evaluated."""
    rounds = run.rounds
    name = "accuracy" if rounds["accuracy"].null_count < rounds.num_rows else "client_accuracy_mean"
    evaluated = pc.is_valid(rounds[name]).to_numpy()
    if not evaluated.any():
        raise RecordsError(f"{run.path}: no round was evaluated, so there is no accuracy to compare; leave the run out")
    up, down, dense = (
        np.cumsum(rounds[column].to_numpy()) for column in ("uplink_bytes", "downlink_bytes", "dense_bytes")
    )
    return RunCurve(
        path=run.path,
        seed=run.config.get("random_seed"),
        status=run.status,
        rounds_E=rounds["round"].to_numpy()[evaluated].astype(np.int64),
        accuracy_E=rounds[name].to_numpy()[evaluated],
        uplink_E=up[evaluated],
        downlink_E=down[evaluated],
        uplink_bytes=int(up[-1]),
        downlink_bytes=int(down[-1]),
        dense_bytes=int(dense[-1]),
        averaged=bool(run.config.get("final_average")) and run.status == "finished",
    )
