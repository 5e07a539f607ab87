"""The results as a picture: accuracy against bytes, a part for each kind of federation."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import byte_partial
import byte_peers
import byte_second
from byte_grid import baseline_of
from byte_points import BASELINE
from byte_results import PointResult
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FormatStrFormatter

NEAR = 6.0
"""Points of accuracy below full exchange down to which a part reaches; what lies lower is an arrow at its edge."""
COLOURS = {"baseline": "black", "ours": "#0072b2", "rival": "#d55e00"}
"""Told apart also without colour vision (Okabe and Ito); each group has a marker of its own too."""
MARKERS = {"baseline": "*", "ours": "o", "rival": "s"}
LEGEND = {"baseline": "full exchange", "ours": "fedchunk", "rival": "others"}


@dataclass(frozen=True)
class Part:
    """A part of the picture."""

    baseline: str
    """Full exchange among the same clients: the line, its interval the band."""
    title: str
    also: str | None = None
    """Another full exchange with a line of its own."""


PARTS = (
    Part(BASELINE, "star, all 20 clients every round"),
    Part(byte_partial.QUARTER_BASELINE, "star, 10 of 40 clients a round"),
    Part(byte_partial.TENTH_BASELINE, "star, 10 of 100 clients a round"),
    Part(byte_partial.SELDOM_BASELINE, "star, 10 of 1,000 clients a round"),
    Part(byte_peers.GOSSIP, "20 peers, 4 neighbours each", byte_peers.TUNED),
    Part(byte_second.BASELINE, "star, all 20 clients every round, ResNet-18"),
)


def draw(results: Mapping[str, PointResult], path: Path) -> None:
    """Accuracy against share of the bytes, log axis, 95 % intervals, a name at each point that has room for it."""
    parts = [part for part in PARTS if part.baseline in results]
    figure, grid = plt.subplots(
        (len(parts) + 1) // 2,
        min(2, len(parts)),
        figsize=(13, 5 * ((len(parts) + 1) // 2)),
        layout="constrained",
        squeeze=False,
    )
    for axes in grid.flat[len(parts) :]:
        axes.set_axis_off()
    for axes, part in zip(grid.flat, parts, strict=False):
        _part(axes, part, results)
    grid.flat[0].legend(loc="lower right", fontsize=9)
    figure.supxlabel("bytes of both directions, % of float32 full exchange (log)", fontsize=10)
    figure.supylabel("accuracy, %", fontsize=10)
    figure.suptitle("Fashion-MNIST, LeNet-5, uneven labels: mean over the seeds, 95 % interval", fontsize=11)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _part(axes: Axes, part: Part, results: Mapping[str, PointResult]) -> None:
    shown = [r for r in results.values() if r.group in COLOURS and baseline_of(r.name) == part.baseline]
    full = results[part.baseline].accuracy
    for name in (part.baseline, part.also):
        if name is not None and name in results:
            mean, half = results[name].accuracy.mean, results[name].accuracy.half
            axes.axhline(mean, color="black", linewidth=0.8, linestyle=":")
            if not math.isnan(half):
                axes.axhspan(mean - half, mean + half, color="black", alpha=0.06, linewidth=0)
    floor = full.mean - NEAR
    for group, colour in COLOURS.items():
        members = [r for r in shown if r.group == group and r.accuracy.mean >= floor]
        if not members:
            continue
        axes.errorbar(
            [100 * r.share for r in members],
            [r.accuracy.mean for r in members],
            yerr=[0.0 if math.isnan(r.accuracy.half) else r.accuracy.half for r in members],
            fmt=MARKERS[group],
            color=colour,
            ecolor=matplotlib.colors.to_rgba(colour, 0.35),
            markersize=12 if group == "baseline" else 7,
            capsize=3,
            label=LEGEND[group],
        )
    axes.set_title(part.title, fontsize=10)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FormatStrFormatter("%g"))
    axes.set_ylim(bottom=floor - 0.8)
    axes.margins(x=0.12)
    axes.grid(alpha=0.25, which="both")
    _names(axes, shown, floor)


def _names(axes: Axes, shown: list[PointResult], floor: float) -> None:
    """A name at each point, above or below it; what lies below the part as an arrow with its accuracy."""
    for result in shown:
        mean = result.accuracy.mean
        below = mean < floor
        above = sum(
            other is not result
            and abs(math.log(other.share / result.share)) < math.log(1.5)
            and 0 <= other.accuracy.mean - mean < 1.5
            for other in shown
        )
        if above > 1 and not below:
            continue  # the names would lie upon each other; the page has them in a table
        text = f"↓ {short_name(result.name)} ({mean:.1f})" if below else short_name(result.name)
        axes.annotate(
            text,
            (100 * result.share, floor if below else mean),
            (0, -16 if above and not below else 8),
            textcoords="offset points",
            ha="center",
            fontsize=8,
            color=COLOURS[result.group],
        )


def short_name(name: str) -> str:
    """A point's name for the picture.

    Example:
        >>> short_name("feedback_2_5_percent"), short_name("random_10"), short_name("fedavg_10_rounds")
        ('feedback 2.5 %', 'random 10 %', 'fedavg 10 rounds')
    """
    name = re.sub(r"(\d)_(\d)", r"\1.\2", name.replace("_percent", "")).replace("_full_exchange", " full")
    return re.sub(r"_(\d[\d.]*)$", r" \1 %", name).replace("_", " ")
