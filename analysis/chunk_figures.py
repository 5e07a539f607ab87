"""Figures about chunks: who sends which, and how importance spreads."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from fedchunk.analysis.drawing import (
    BLUE,
    GREY,
    ORANGE,
    VERMILION,
    columns_of,
    figure,
    heat_map,
    legend_inside,
    readable,
    round_axis,
    round_edges,
    share_axis,
    short,
)
from fedchunk.analysis.layers import LayerMark
from fedchunk.analysis.mpl import Axes, Figure, MaxNLocator, PercentFormatter, PowerNorm

SQUARE_ROOT_FROM = 8.0
"""A chunk of so many times the mean flattens all others; the axis then shows square roots."""


def draw_selection(selection: pa.Table, layers: pa.Table) -> Figure:
    """Heat map of chunk by round: the share of the round's clients that sent the chunk, layers marked at the right."""
    drawn, (ax,) = figure(1, 10.5, 5.6)
    columns, rounds = columns_of(selection), round_edges(selection)
    chunks = np.append(np.unique(columns["first_chunk"]), columns["stop_chunk"].max()) - 0.5
    share = columns["sent_share"].reshape(len(rounds) - 1, len(chunks) - 1).T
    cells = heat_map(ax, rounds, chunks, share, norm=share_scale(share))
    round_axis(ax, int(columns["first_round"].min()), int(columns["last_round"].max()))
    num_chunks = int(columns["stop_chunk"].max())
    ax.set_ylim(num_chunks - 0.5, -0.5)
    ax.yaxis.set_major_locator(MaxNLocator(nbins=10, integer=True, min_n_ticks=1))
    ax.set_ylabel("chunk")
    ax.set_title("Which chunks are sent, and when", loc="left")
    _layer_axis(ax, _marks(layers), num_chunks)
    bar = drawn.colorbar(cells, ax=ax, pad=0.02, format=PercentFormatter(1.0, decimals=0))
    bar.set_label("clients of the round that sent it")
    return drawn


def share_scale(share: np.ndarray) -> PowerNorm:
    """Colours of shares: at 1 % sent there is something to see, and nothing known is no fault."""
    known = share[~np.isnan(share)]
    return PowerNorm(0.5, vmin=0, vmax=max(float(known.max(initial=0.0)), 0.01))


def draw_layers(layers: pa.Table) -> Figure:
    """Heat map of layer by round: the share of the layer's chunks that a client sent."""
    columns, rounds = columns_of(layers), round_edges(layers)
    names = list(dict.fromkeys(layers["layer"].to_pylist()))
    share = columns["sent_share"].reshape(len(rounds) - 1, len(names)).T
    drawn, (ax,) = figure(1, 10.5, min(8.0, 1.9 + 0.32 * len(names)))
    cells = heat_map(ax, rounds, np.arange(len(names) + 1) - 0.5, share, norm=share_scale(share))
    round_axis(ax, int(columns["first_round"].min()), int(columns["last_round"].max()))
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set_yticks(range(len(names)), [short(name) for name in names], parse_math=False, fontsize=8)
    ax.tick_params(axis="y", length=0)
    ax.set_title("How much of each layer is sent", loc="left")
    bar = drawn.colorbar(cells, ax=ax, pad=0.02, format=PercentFormatter(1.0, decimals=None))
    bar.set_label("of its chunks, by a client")
    return drawn


def _marks(layers: pa.Table) -> list[LayerMark]:
    return [LayerMark(row["layer"], row["first_chunk"], row["stop_chunk"]) for row in layers.to_pylist()]


def _borders(marks: list[LayerMark]) -> list[float]:
    """Where a layer begins, the first excepted."""
    return sorted({mark.first - 0.5 for mark in marks[1:] if mark.first > 0})


def _layer_axis(ax: Axes, marks: list[LayerMark], num_chunks: int) -> None:
    """Lines where layers begin, and their names at the right-hand side."""
    for border in _borders(marks):
        ax.axhline(border, color="white", linewidth=0.8, alpha=0.8)
    labels = readable(marks, num_chunks)
    right = ax.secondary_yaxis("right")
    right.set_yticks([middle - 0.5 for middle, _ in labels], [label for _, label in labels], parse_math=False)
    right.tick_params(length=0, labelsize=8)
    right.spines[:].set_visible(False)


def draw_importance(importance: pa.Table, layers: pa.Table, curve: pa.Table | None, summary: pa.Table | None) -> Figure:
    """Scores of each chunk as quantiles and, where it is known, how few chunks hold how much of the importance."""
    if curve is None or summary is None:
        drawn, (by_chunk,) = figure(1, 10.5, 4.6)
        _draw_quantiles(by_chunk, importance, _marks(layers))
        return drawn
    drawn, (by_chunk, shares) = figure(2, 11, 4.6)
    _draw_quantiles(by_chunk, importance, _marks(layers))
    _draw_concentration(shares, curve, summary.to_pylist()[0])
    return drawn


def _draw_quantiles(ax: Axes, importance: pa.Table, marks: list[LayerMark]) -> None:
    columns = columns_of(importance)
    edges = np.append(columns["first_chunk"], columns["stop_chunk"][-1]) - 0.5
    for low, high, alpha, label in (("p05", "p95", 0.18, "90 % of scores"), ("p25", "p75", 0.4, "middle half")):
        ax.stairs(
            columns[high], edges, baseline=columns[low], fill=True, color=BLUE, alpha=alpha, linewidth=0, label=label
        )
    ax.stairs(columns["p50"], edges, baseline=None, color=BLUE, linewidth=1.1, label="median")
    for border in _borders(marks):
        ax.axvline(border, color=GREY, linewidth=0.7, linestyle=":")
    ax.set_xlim(edges[0], edges[-1])
    ax.set_ylim(bottom=0)
    if columns["p95"].max() > SQUARE_ROOT_FROM:
        ax.set_yscale("function", functions=(_root, np.square))
    ax.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1))
    ax.set_xlabel("chunk (dotted: a layer begins)")
    ax.set_ylabel("score (1 = the client's mean chunk in the round)")
    ax.set_title("Importance of each chunk", loc="left")
    legend_inside(ax)


def _root(values: np.ndarray) -> np.ndarray:
    return np.asarray(np.sqrt(np.maximum(values, 0)))


def _draw_concentration(ax: Axes, curve: pa.Table, summary: dict[str, float]) -> None:
    x = curve["chunk_share"].to_numpy()
    ax.plot([0, 1], [0, 1], color=GREY, linewidth=0.9, linestyle=":", label="all chunks alike")
    sent = summary["sent_share"]
    for column, color, label in (
        ("score", BLUE, f"scores (Gini {summary['gini']:.2f})"),
        ("energy", ORANGE, "squared scores (energy)"),
    ):
        ax.plot(x, curve[f"{column}_share"].to_numpy(), color=color, label=label)
        held = summary[f"sent_{column}_share"]
        ax.plot([sent], [held], "o", color=color, markersize=7, markeredgecolor="white", clip_on=False, zorder=5)
    ax.axvline(sent, color=VERMILION, linewidth=1, linestyle="--", label=f"sent: {sent:.1%} of chunks")
    ax.plot(
        [],
        [],
        "o",
        color="black",
        markersize=6,
        label=f"held by what was sent: {summary['sent_energy_share']:.0%} of energy",
    )
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1.02)
    share_axis(ax.xaxis)
    share_axis(ax.yaxis)
    ax.set_xlabel("share of chunks, most important first")
    ax.set_ylabel("share of importance that they hold")
    ax.set_title("How few chunks hold how much (Lorenz curve)", loc="left")
    legend_inside(ax, "lower right")
