"""The results as a page and as a picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from byte_grid import BASELINE, TARGETS
from byte_notes import NOTES, TRIED
from byte_results import Estimate, PointResult, verdict
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

COMMAND = "python benchmarks/accuracy_per_byte.py"

COLOURS = {"baseline": "black", "feedback": "#0072b2", "opponent": "#d55e00"}
"""Told apart also without colour vision (Okabe and Ito); each group has a marker of its own too."""
MARKERS = {"baseline": "*", "feedback": "o", "opponent": "s"}
LEGEND = {"baseline": "full exchange", "feedback": "error feedback in both directions", "opponent": "opponents"}


def page(results: Sequence[PointResult]) -> str:
    """The results page, Markdown."""
    shown = [result for result in results if result.group != "tuning"]
    tuning = [result for result in results if result.group == "tuning"]
    parts = [
        "# Accuracy per byte",
        f"Made by `{COMMAND}` from `accuracy_per_byte.parquet`; `../README.md` says how. Accuracy is that of the "
        "coordinator's model on the whole test set, mean of a run's last five evaluations (every fourth round), then "
        "mean over the seeds with its 95 % interval (Student's t). The difference to full exchange is paired by seed. "
        "The share is all bytes of both directions against float32 full exchange.",
        "![Accuracy against bytes](accuracy_per_byte.png)",
        "## Targets",
        _targets(results),
        "## All points",
        _table(sorted(shown, key=lambda result: -result.share)),
        "## What was tried to get there",
        TRIED,
    ]
    if tuning:
        parts += ["Runs made to choose settings; their seed is used for nothing else:", _table(tuning)]
    return "\n\n".join([*parts, "## Not shown", NOTES]) + "\n"


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


def draw(results: Sequence[PointResult], path: Path) -> None:
    """Accuracy against share of the bytes, log axis, 95 % intervals, one label per point."""
    shown = [result for result in results if result.group in COLOURS]
    figure, axes = plt.subplots(figsize=(10, 6.2), layout="constrained")
    for group, colour in COLOURS.items():
        members = [result for result in shown if result.group == group]
        if not members:
            continue
        halves = [0.0 if math.isnan(result.accuracy.half) else result.accuracy.half for result in members]
        axes.errorbar(
            [100 * result.share for result in members],
            [result.accuracy.mean for result in members],
            yerr=halves,
            fmt=MARKERS[group],
            color=colour,
            ecolor=matplotlib.colors.to_rgba(colour, 0.35),
            markersize=11 if group == "baseline" else 7,
            capsize=3,
            label=LEGEND[group],
        )
    _baseline_band(axes, shown)
    _label(axes, shown)
    axes.set_xscale("log")
    axes.set_xlabel("bytes of both directions, % of float32 full exchange (log)")
    axes.set_ylabel("accuracy of the coordinator's model, %")
    axes.xaxis.set_major_formatter(matplotlib.ticker.FormatStrFormatter("%g"))
    axes.grid(alpha=0.25, which="both")
    axes.legend(loc="lower right")
    seeds = max(len(result.seeds) for result in shown)
    axes.set_title(
        f"Fashion-MNIST, 20 clients, Dirichlet 0.3, LeNet-5, 100 rounds; mean of {seeds} seeds, 95 % interval"
    )
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _baseline_band(axes: Axes, results: Sequence[PointResult]) -> None:
    for result in results:
        if result.name == BASELINE:
            axes.axhline(result.accuracy.mean, color="black", linewidth=0.8, linestyle=":")
            axes.axhspan(result.accuracy.mean - 0.5, result.accuracy.mean, color="black", alpha=0.07, linewidth=0)


def _label(axes: Axes, results: Sequence[PointResult]) -> None:
    """Names beside the points, above and below in turn from left to right, so that neighbours do not collide."""
    for number, result in enumerate(sorted(results, key=lambda result: (result.share, result.accuracy.mean))):
        axes.annotate(
            result.name.replace("_", " "),
            (100 * result.share, result.accuracy.mean),
            xytext=(7, 8 if number % 2 else -14),
            textcoords="offset points",
            fontsize=8.5,
            color=COLOURS[result.group],
        )
