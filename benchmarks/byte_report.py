"""The results as a page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import byte_rivals
import byte_star
from byte_grid import GRID, TARGETS, baseline_of
from byte_notes import NOT_RUN, TRIED
from byte_points import Point
from byte_results import Estimate, PointResult, verdict

COMMAND = "python benchmarks/accuracy_per_byte.py"
Results = Mapping[str, PointResult]


def page(results: Results) -> str:
    """The results page, Markdown."""
    parts = [
        "# Accuracy per byte",
        f"Made by `{COMMAND}` from `accuracy_per_byte.parquet`; `../README.md` says how. Accuracy is that of the "
        "shared model on the whole test set, mean of a run's last five evaluations (every fourth round; of 300 rounds, "
        "every twelfth; runs of 10 rounds: the last alone), then mean over the seeds with its 95 % interval "
        "(Student's t). Differences are paired by seed. The share is all bytes of both directions against float32 full "
        "exchange among the same clients. In gossip there is no shared model: accuracy is the mean of all peers' "
        "models after the last round.",
        "![Accuracy against bytes](accuracy_per_byte.png)",
        "## Targets",
        _targets(results),
        "## Everybody at 1 % of the bytes, the best first",
        "All with error feedback in both directions, and settings chosen among five with seed 0. A start "
        "ahead by half of what is withheld (`withheld_share`) helped every one of them (trials below).",
        _race(results),
        "## All points",
        _table([result for point in GRID if (result := results.get(point.name)) is not None], results),
        "## How settings were chosen",
        "One run each with seed 0, which no other figure uses. Bold is what the points above run with.",
        *(table for point in GRID if (table := _trials(point, results)) is not None),
        "## What was tried before",
        TRIED,
        "## What was not run",
        NOT_RUN,
    ]
    return "\n\n".join(parts) + "\n"


def _targets(results: Results) -> str:
    lines = [
        "| | share of the bytes | accuracy | against | point | measured | |",
        "|---|---|---|---|---|---|---|",
    ]
    for target in TARGETS:
        result, other = results.get(target.candidate), results.get(target.against)
        measured = f"{points_of(result.difference(other))} at {_share(result.share)}" if result is not None else ""
        wanted = f"within {target.within:g} points" if target.within >= 0 else f"{-target.within:g} points above"
        if target.surely is not None:
            wanted += f", no loss of {target.surely:g} in the interval"
        lines.append(
            f"| {target.word} | {100 * target.share:g} % | {wanted} | {target.against} | {target.candidate} "
            f"| {measured} | {verdict(target, results)} |"
        )
    return "\n".join(lines)


def _table(shown: Sequence[PointResult], results: Results) -> str:
    lines = [
        "| point | what | seeds | share of the bytes | accuracy, % | difference to its full exchange |",
        "|---|---|---|---|---|---|",
    ]
    for result in shown:
        baseline = baseline_of(result.name)
        difference = None if result.name == baseline else result.difference(results.get(baseline))
        seeds = ", ".join(map(str, result.seeds))
        mark = " †" if result.outdated else ""
        lines.append(
            f"| {result.name} | {result.label} | {seeds} | {_share(result.share)}{mark} "
            f"| {result.accuracy.mean:.2f}{_width(result.accuracy)} | {points_of(difference)} |"
        )
    if any(result.outdated for result in shown):
        lines += [
            "",
            "† measured with an earlier version: header and mask of a message took up to 150 bytes more than now, and "
            "stale copies trained from and measured each peer's own weights.",
        ]
    return "\n".join(lines)


def _race(results: Results) -> str:
    """Rivals and ours at 1 % of the bytes, by accuracy."""
    names = (byte_star.AT_1_PERCENT, *(point.name for point in byte_rivals.POINTS))
    there = [result for name in names if (result := results.get(name)) is not None]
    ours = results.get(byte_star.AT_1_PERCENT)
    lines = [
        "| point | what | share of the bytes | accuracy, % | difference to full exchange | to fedchunk's int4 |",
        "|---|---|---|---|---|---|",
    ]
    for result in sorted(there, key=lambda one: -one.accuracy.mean):
        to_ours = "" if result is ours else points_of(result.difference(ours))
        lines.append(
            f"| {result.name} | {result.label} | {_share(result.share)} "
            f"| {result.accuracy.mean:.2f}{_width(result.accuracy)} "
            f"| {points_of(result.difference(results.get(baseline_of(result.name))))} | {to_ours} |"
        )
    return "\n".join(lines)


def _trials(point: Point, results: Results) -> str | None:
    """What was tried for a point; None where nothing was."""
    tried = [result for trial in point.trials() if (result := results.get(trial.name)) is not None]
    if not tried:
        return None
    lines = [
        f"`{point.name}`: {point.label}",
        "",
        "| instead | share of the bytes | accuracy, % |",
        "|---|---|---|",
    ]
    for result in tried:
        label = f"**{result.label}**" if result.name.endswith(".as_it_is") else f"`{result.label}`"
        lines.append(f"| {label} | {_share(result.share)} | {result.accuracy.mean:.2f} |")
    return "\n".join(lines)


def _share(share: float) -> str:
    return f"{100 * share:.3g} %"


def points_of(difference: Estimate | None) -> str:
    """A difference with its interval; empty where there is none."""
    return "" if difference is None else f"{difference.mean:+.2f}{_width(difference)}"


def _width(estimate: Estimate) -> str:
    return "" if math.isnan(estimate.half) else f" ± {estimate.half:.2f}"
