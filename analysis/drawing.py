"""Style and small helpers of the figures. No pyplot: nothing global is touched, so threads may draw."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from fedchunk.analysis.layers import LayerMark
from fedchunk.analysis.mpl import Axes, Axis, Figure, FigureCanvasAgg, MaxNLocator, PercentFormatter, QuadMesh

BLUE, ORANGE, GREEN, SKY, VERMILION, PURPLE, YELLOW, GREY = (
    "#0072B2", "#E69F00", "#009E73", "#56B4E9", "#D55E00", "#CC79A7", "#F0E442", "#767676",
)  # fmt: skip
"""Okabe and Ito's palette: told apart with every kind of colour vision."""

INDIGO, PINK = "#332288", "#F4A6B5"

PALETTE = (BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, INDIGO)
"""Colours of things without a meaning of their own, in this order."""

LOOKS = (("-", "o"), ("--", "D"), (":", "^"), ("-.", "v"))
"""Lines and marks: each goes once through the palette."""

KIND_COLORS = {
    "values": BLUE, "scales": YELLOW, "buffers": SKY, "scores": INDIGO, "mask": ORANGE, "choice": PINK,
    "shares": PURPLE, "header": GREEN, "rejected": VERMILION,
}  # fmt: skip
"""The ledger's kinds; the order is that of the stack, from the bottom."""

MISSING = "#e9e9e9"
"""Cells of a heat map of which nothing is known."""

MARKED_POINTS = 40
"""Up to so many points a line shows each of them; beyond, markers hide the line."""

LABEL_GAP = 0.03
"""Least distance of two layer labels, as a share of the axis: one line of small text."""


class Picture(Figure):
    """A figure that a notebook shows, whatever backend it has."""

    def _repr_png_(self) -> bytes:
        file = BytesIO()
        self.savefig(file, format="png")
        return file.getvalue()


def figure(panels: int, width: float, height: float, *, sharey: bool = False) -> tuple[Figure, list[Axes]]:
    """An empty figure (inches) with its panels beside each other. It is drawn by Agg, whatever the user's backend."""
    drawn = Picture(figsize=(width, height), dpi=120, layout="constrained")
    FigureCanvasAgg(drawn)
    axes = list(drawn.subplots(1, panels, sharey=sharey, squeeze=False)[0])
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(True, color="#e3e3e3", linewidth=0.6)
        ax.set_axisbelow(True)
    return drawn, axes


def round_axis(ax: Axes, first: int, last: int) -> None:
    """A horizontal axis of whole rounds, wide enough for a single one."""
    ax.set_xlabel("round")
    ax.set_xlim(first - 0.5, last + 0.5)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1))


def look(place: int) -> tuple[str, str, str]:
    """Colour, line and mark of the thing at this place of many."""
    line, mark = LOOKS[place // len(PALETTE) % len(LOOKS)]
    return PALETTE[place % len(PALETTE)], line, mark


def marker(points: int) -> str:
    """The marker of a line of so many points."""
    return "o" if points <= MARKED_POINTS else ""


def share_axis(axis: Axis) -> None:
    """An axis of shares, as percentages."""
    axis.set_major_formatter(PercentFormatter(1.0, decimals=None))


def legend_inside(ax: Axes, where: Literal["best", "upper left", "lower right"] = "best") -> None:
    """A legend that may lie over lines without hiding them; none where nothing was drawn."""
    if ax.get_legend_handles_labels()[0]:
        ax.legend(loc=where, frameon=True, framealpha=0.85, edgecolor="none", fontsize=8)


def heat_map(ax: Axes, x_edges: np.ndarray, y_edges: np.ndarray, cells_YX: np.ndarray, **scale: Any) -> QuadMesh:
    """Coloured cells between the edges; unknown ones (nan) in grey. ``scale``: ``norm``, or ``vmin`` and ``vmax``."""
    ax.grid(False)
    ax.set_facecolor(MISSING)
    scale = {"cmap": "viridis", **scale}
    return ax.pcolormesh(x_edges, y_edges, np.ma.masked_invalid(cells_YX), rasterized=True, **scale)


def round_edges(table: pa.Table) -> np.ndarray:
    """Borders of the rounds (or bins of them) of a table of cells."""
    return np.append(np.unique(table["first_round"].to_numpy()) - 0.5, table["last_round"].to_numpy().max() + 0.5)


def columns_of(table: pa.Table) -> dict[str, np.ndarray]:
    """The columns as arrays; null becomes nan."""
    return {name: table[name].to_numpy() for name in table.column_names}


def legend_below(drawn: Figure, ax: Axes, columns: int = 5) -> None:
    """One legend for the whole figure, where it covers nothing; the comparison comes last."""
    entries = sorted(zip(*ax.get_legend_handles_labels(), strict=True), key=lambda entry: "full" in entry[1])
    drawn.legend(*zip(*entries, strict=True), loc="outside lower center", ncols=columns, frameon=False)


def readable(marks: Sequence[LayerMark], num_chunks: int) -> list[tuple[float, str]]:
    """Middle and label of the layers that can be labelled without overlap; long layers go first."""
    kept: list[tuple[float, str]] = []
    for mark in sorted(marks, key=lambda mark: (mark.first - mark.stop, mark.first)):
        middle = (mark.first + mark.stop) / 2
        if all(abs(middle - other) >= LABEL_GAP * num_chunks for other, _ in kept):
            kept.append((middle, short(mark.name)))
    return sorted(kept)


def short(name: str, limit: int = 22) -> str:
    """The end of a long name, which tells layers apart; a bare number is the place in a ``Sequential``."""
    name = f"layer {name}" if name.isdecimal() else name
    return name if len(name) <= limit else "\u2026" + name[1 - limit :]
