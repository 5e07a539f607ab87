"""The results as a picture: accuracy against bytes."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from byte_grid import BASELINE
from byte_results import PointResult
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FormatStrFormatter

NEAR = 2.5
"""Points of accuracy below full exchange down to which the upper part of the picture reaches."""

COLOURS = {"baseline": "black", "feedback": "#0072b2", "opponent": "#d55e00"}
"""Told apart also without colour vision (Okabe and Ito); each group has a marker of its own too."""
MARKERS = {"baseline": "*", "feedback": "o", "opponent": "s"}
LEGEND = {"baseline": "full exchange", "feedback": "error feedback in both directions", "opponent": "opponents"}


def draw(results: Sequence[PointResult], path: Path) -> None:
    """Accuracy against share of the bytes, log axis, 95 % intervals, a name at each point.

    What lies far below full exchange goes to a lower part with a scale of its own, or the rest could not be told apart.
    """
    results = [result for result in results if result.group in COLOURS]  # peers have a baseline of their own
    full = next(result.accuracy.mean for result in results if result.name == BASELINE)
    near = [result for result in results if result.accuracy.mean >= full - NEAR]
    far = [result for result in results if result.accuracy.mean < full - NEAR]
    figure = plt.figure(figsize=(10, 7), layout="constrained")
    lowest = _parts(figure, near, far)
    lowest.set_xlabel("bytes of both directions, % of float32 full exchange (log)")
    lowest.xaxis.set_major_formatter(FormatStrFormatter("%g"))
    figure.supylabel("accuracy of the coordinator's model, %", fontsize=10)
    seeds = min(len(result.seeds) for result in results)
    figure.suptitle(
        f"Fashion-MNIST, 20 clients, Dirichlet 0.3, LeNet-5: mean of {seeds} seeds, 95 % interval", fontsize=11
    )
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _parts(figure: Figure, near: Sequence[PointResult], far: Sequence[PointResult]) -> Axes:
    """Draws both parts and gives the one at the bottom."""
    if far:
        upper, lower = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": [3, 1.3]})
        _points(lower, far)
    else:
        upper = lower = figure.subplots()
    _points(upper, near)
    for result in near:
        if result.name == BASELINE:
            mean = result.accuracy.mean
            upper.axhline(mean, color="black", linewidth=0.8, linestyle=":")
            upper.axhspan(mean - 0.5, mean, color="black", alpha=0.07, linewidth=0, label="within 0.5 points")
    upper.legend(loc="upper right", fontsize=9)
    lower.set_xscale("log")
    lower.set_xlim(0.3, 200)
    return lower


def _points(axes: Axes, results: Sequence[PointResult]) -> None:
    for group, colour in COLOURS.items():
        members = [result for result in results if result.group == group]
        if not members:
            continue
        axes.errorbar(
            [100 * result.share for result in members],
            [result.accuracy.mean for result in members],
            yerr=[0.0 if math.isnan(result.accuracy.half) else result.accuracy.half for result in members],
            fmt=MARKERS[group],
            color=colour,
            ecolor=matplotlib.colors.to_rgba(colour, 0.35),
            markersize=12 if group == "baseline" else 7,
            capsize=3,
            label=LEGEND[group],
        )
    for result in results:
        crowded = any(
            other is not result
            and abs(math.log(other.share / result.share)) < math.log(1.5)
            and 0 <= other.accuracy.mean - result.accuracy.mean < 3
            for other in results
        )
        axes.annotate(
            short_name(result.name),
            (100 * result.share, result.accuracy.mean),
            (0, -18 if crowded else 9),
            textcoords="offset points",
            ha="center",
            fontsize=9,
            color=COLOURS[result.group],
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 1},
        )
    axes.margins(y=0.2)
    axes.grid(alpha=0.25, which="both")


def short_name(name: str) -> str:
    """A point's name for the picture.

    Example:
        >>> short_name("feedback_2_5_percent"), short_name("random_10"), short_name("fedavg_10_rounds")
        ('feedback 2.5 %', 'random 10 %', 'fedavg 10 rounds')
    """
    name = re.sub(r"(\d)_(\d)", r"\1.\2", name.replace("_percent", ""))
    return re.sub(r"_(\d[\d.]*)$", r" \1 %", name).replace("_", " ")
