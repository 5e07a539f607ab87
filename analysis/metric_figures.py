"""The figure of further metrics."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fedchunk.analysis.drawing import GREY, figure, look, marker, round_axis, short
from fedchunk.analysis.mpl import Axes, Figure

PER_CLASS = "per_class/"
"""How the names of values of single classes begin."""

SHOWN = 20
"""Other names that have a line each: as many as a legend can hold."""


def draw_metrics(metrics: pa.Table) -> Figure:
    """Each metric over the rounds; shares (0 to 1) and other values in panels of their own."""
    names = metrics["name"].unique().to_pylist()
    of_classes = [name for name in names if name.startswith(PER_CLASS)]
    others = [name for name in names if name not in of_classes]
    panels = _panels(metrics, [*others[:SHOWN], *of_classes])
    drawn, axes = figure(len(panels), 2.5 + 4.5 * len(panels), 4.4)
    for ax, (title, own) in zip(axes, panels, strict=True):
        for name in own:
            if name in others:
                _draw_name(ax, metrics, name, others.index(name))
        _draw_classes(ax, metrics, [name for name in own if name in of_classes])
        _finish(ax, metrics, title)
    if len(others) > SHOWN:
        axes[-1].set_xlabel(f"round ({SHOWN} of {len(others)} metrics are drawn)")
    return drawn


def _draw_name(ax: Axes, metrics: pa.Table, name: str, place: int) -> None:
    rounds, values = _curve(metrics, name)
    color, line, _ = look(place)
    label = short(name)
    label = f" {label}" if label.startswith("_") else label  # matplotlib hides such names
    ax.plot(rounds, values, line, color=color, marker=marker(len(rounds)), markersize=3, label=label)


def _draw_classes(ax: Axes, metrics: pa.Table, names: Sequence[str]) -> None:
    """Thin lines of one colour, with one entry in the legend."""
    for i, name in enumerate(names):
        label = "_" if i else f"per class ({len(names)})"
        ax.plot(*_curve(metrics, name), color=GREY, linewidth=0.6, alpha=0.8, zorder=1, label=label)


def _panels(metrics: pa.Table, names: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Title and names of the panels, those that are not empty."""
    shares: list[str] = []
    others: list[str] = []
    for name in names:
        _, values = _curve(metrics, name)
        known = values[np.isfinite(values)]
        (shares if ((known >= 0) & (known <= 1)).all() else others).append(name)
    found = [("Metrics", shares), ("Metrics of other ranges" if shares else "Metrics", others)]
    return [(title, own) for title, own in found if own]


def _curve(metrics: pa.Table, name: str) -> tuple[np.ndarray, np.ndarray]:
    own = metrics.filter(pc.equal(metrics["name"], name))
    return own["round"].to_numpy(), own["value"].to_numpy()


def _finish(ax: Axes, metrics: pa.Table, title: str) -> None:
    rounds = metrics["round"].to_numpy()
    round_axis(ax, int(rounds.min()), int(rounds.max()))
    ax.set_ylabel("value on the test set")
    ax.set_title(title, loc="left")
    for text in ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=8).get_texts():
        text.set_parse_math(False)
