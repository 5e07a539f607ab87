"""The results as a page."""

from __future__ import annotations

import math
from collections.abc import Sequence

from byte_grid import TARGETS
from byte_notes import NOT_RUN, TRIED
from byte_results import Estimate, PointResult, verdict

COMMAND = "python benchmarks/accuracy_per_byte.py"


def page(results: Sequence[PointResult]) -> str:
    """The results page, Markdown."""
    parts = [
        "# Accuracy per byte",
        f"Made by `{COMMAND}` from `accuracy_per_byte.parquet`; `../README.md` says how. Accuracy is that of the "
        "coordinator's model on the whole test set, mean of a run's last five evaluations (every fourth round; runs of "
        "10 rounds: the last alone), then mean over the seeds with its 95 % interval (Student's t). The difference to "
        "full exchange is paired by seed. The share is all bytes of both directions against float32 full exchange. "
        "Peers have no coordinator's model: theirs is the mean accuracy of all peers' models after the last round, "
        "against the peers' own full exchange. "
        "Measured with messages of before, whose header had 36 bytes and whose mask was a bitmap.",
        "![Accuracy against bytes](accuracy_per_byte.png)",
        "## Targets",
        _targets(results),
        "## All points",
        _table(sorted(results, key=lambda result: -result.share)),
        "## What was tried to get there",
        TRIED,
        "## What was not run",
        NOT_RUN,
    ]
    return "\n\n".join(parts) + "\n"


def _targets(results: Sequence[PointResult]) -> str:
    by_name = {result.name: result for result in results}
    lines = ["| | share of the bytes | accuracy within | point | measured | |", "|---|---|---|---|---|---|"]
    for target in TARGETS:
        result = by_name.get(target.candidate)
        measured = f"{_points(result.difference)} at {_share(result.share)}" if result else ""
        lines.append(
            f"| {target.word} | {100 * target.share:g} % | {target.within:g} points | {target.candidate} | {measured} "
            f"| {verdict(target, results)} |"
        )
    return "\n".join(lines)


def _table(results: Sequence[PointResult]) -> str:
    lines = [
        "| point | what | seeds | share of the bytes | accuracy, % | difference, points |",
        "|---|---|---|---|---|---|",
    ]
    for result in results:
        seeds = ", ".join(map(str, result.seeds))
        accuracy = f"{result.accuracy.mean:.2f}{_width(result.accuracy)}"
        lines.append(
            f"| {result.name} | {result.label} | {seeds} | {_share(result.share)} | {accuracy} "
            f"| {_points(result.difference)} |"
        )
    return "\n".join(lines)


def _share(share: float) -> str:
    return f"{100 * share:.3g} %"


def _points(difference: Estimate | None) -> str:
    return "" if difference is None else f"{difference.mean:+.2f}{_width(difference)}"


def _width(estimate: Estimate) -> str:
    return "" if math.isnan(estimate.half) else f" ± {estimate.half:.2f}"
