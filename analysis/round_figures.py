"""Figures about the course of a run: overlap, coverage, ages, energy, reasons, residuals, consensus."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from fedchunk.analysis.drawing import (
    BLUE,
    GREY,
    ORANGE,
    PALETTE,
    VERMILION,
    columns_of,
    figure,
    heat_map,
    legend_inside,
    marker,
    round_axis,
    round_edges,
    share_axis,
)
from fedchunk.analysis.mpl import Axes, Figure, FuncFormatter, LogNorm, MaxNLocator

REASONS = 6
"""Reasons that have a colour of their own; rarer ones are drawn together."""


def draw_overlap(coverage: pa.Table, overlap: pa.Table | None) -> Figure:
    """How much of the model choices reach together and, where it is known, how alike they are, beside mere chance."""
    drawn, axes = figure(1 if overlap is None else 2, 7 if overlap is None else 11, 4.4)
    if overlap is not None:
        _draw_alike(axes[0], overlap)
    _draw_coverage(axes[-1], coverage)
    rounds = coverage["round"]
    for ax in axes:
        round_axis(ax, rounds[0].as_py(), rounds[-1].as_py())
        legend_inside(ax)
    return drawn


def _draw_alike(ax: Axes, overlap: pa.Table) -> None:
    columns = columns_of(overlap)
    for name, color, label in (("self", BLUE, "with its own last choice"), ("pair", ORANGE, "two clients")):
        if np.isnan(columns[f"{name}_jaccard"]).all():
            continue
        for kind, style, width, of in (
            ("corrected", "-", 1.8, f"{label}, corrected for chance"),
            ("jaccard", "--", 1.0, f"{label}, raw"),
            ("expected", ":", 1.0, f"{label}, by chance"),
        ):
            values = columns[f"{name}_{kind}"]
            ax.plot(columns["round"], values, style, color=color, linewidth=width, label=of)
    ax.axhline(0, color=GREY, linewidth=0.8)
    ax.set_ylim(top=1.02)
    ax.set_ylabel("Jaccard similarity")
    ax.set_title("How alike choices are", loc="left")


def _draw_coverage(ax: Axes, coverage: pa.Table) -> None:
    rounds = coverage["round"].to_numpy()
    for name, color, label in (
        ("coverage_so_far", GREY, "by anybody so far"),
        ("coverage", BLUE, "by anybody in the round"),
        ("one_client", ORANGE, "by one client, mean"),
    ):
        ax.plot(rounds, coverage[name].to_numpy(), color=color, marker=marker(len(rounds)), markersize=4, label=label)
    ax.set_ylim(0, 1.02)
    share_axis(ax.yaxis)
    ax.set_ylabel("share of all chunks")
    ax.set_title("Coverage: chunks that were sent", loc="left")


def draw_client_overlap(pairs: pa.Table) -> Figure:
    """The matrix of clients by clients, raw and corrected for chance; clients that choose alike stand together."""
    drawn, axes = figure(2, 11, 5.2)
    drawn.set_layout_engine("compressed")  # square panels leave room that another layout cuts from the titles
    clients = list(dict.fromkeys(pairs["client"].to_pylist()))
    edges = np.arange(len(clients) + 1) - 0.5
    off_diagonal = (pairs["client"].to_numpy() != pairs["other"].to_numpy()).reshape(len(clients), -1)
    for ax, name, title in (
        (axes[0], "jaccard", "Jaccard similarity of clients"),
        (axes[1], "chance_corrected", "Corrected for chance"),
    ):
        values = np.where(off_diagonal, pairs[name].to_numpy().reshape(len(clients), -1), np.nan)
        known = values[~np.isnan(values)]
        high = float(known.max()) if len(known) else 1.0
        low = min(float(known.min()), high - 0.01) if len(known) else 0.0  # do not magnify rounding
        cells = heat_map(ax, edges, edges, values, vmin=low, vmax=high)
        ax.set_aspect("equal")
        ax.invert_yaxis()
        ticks = range(0, len(clients), max(1, -(-len(clients) // 25)))
        ax.set_xticks(ticks, [str(clients[i]) for i in ticks], fontsize=7, rotation=90)
        ax.set_yticks(ticks, [str(clients[i]) for i in ticks], fontsize=7)
        ax.tick_params(length=0)
        ax.set_title(f"{title} (mean {known.mean():.3f})" if len(known) else f"{title}: says nothing here", loc="left")
        ax.set_xlabel("client, similar ones together")
        drawn.colorbar(cells, ax=ax, shrink=0.85, pad=0.02)
    axes[0].set_ylabel("client")
    return drawn


def draw_age(age: pa.Table, distribution: pa.Table | None) -> Figure:
    """How long chunks had waited: mean and worst of each round and, where it is known, the distribution."""
    drawn, axes = figure(1 if distribution is None else 2, 7 if distribution is None else 11, 4.4)
    by_round, columns = axes[0], columns_of(age)
    if distribution is not None:
        _draw_age_cells(drawn, by_round, distribution)
        _draw_age_sum(axes[1], distribution)
    by_round.plot(columns["round"], columns["mean"], color=ORANGE, linewidth=2, label="mean")
    by_round.plot(columns["round"], columns["maximum"], color=VERMILION, linewidth=1.2, label="worst")
    limit = columns["limit"][0]
    if limit is not None and not np.isnan(limit):
        by_round.axhline(limit, color="black", linestyle="--", linewidth=1, label="chunk_max_age")
    round_axis(by_round, int(age["round"][0].as_py()), int(age["round"][-1].as_py()))
    by_round.yaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1))
    by_round.set_ylabel("rounds since the client sent the chunk")
    by_round.set_title("Age of chunks", loc="left")
    legend_inside(by_round, "upper left")
    return drawn


def _age_share(distribution: pa.Table) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Borders of the bins of rounds and of ages, and the share of each cell, shape (ages, rounds)."""
    cells, rounds = columns_of(distribution), round_edges(distribution)
    edges = np.append(np.unique(cells["first_age"]), cells["stop_age"].max())
    return rounds, edges, cells["share"].reshape(len(rounds) - 1, len(edges) - 1).T


def _draw_age_cells(drawn: Figure, ax: Axes, distribution: pa.Table) -> None:
    rounds, edges, share = _age_share(distribution)
    drawn_share = np.where(share > 0, share, np.nan)
    known = drawn_share[~np.isnan(drawn_share)]
    low = min(float(known.min()), 0.1)
    mesh = heat_map(ax, rounds, edges - 0.5, drawn_share, norm=LogNorm(low, 1.0), cmap="Blues")
    ax.set_facecolor("white")
    bar = drawn.colorbar(mesh, ax=ax, pad=0.02, format=FuncFormatter(lambda share, _: f"{100 * share:g}%"))
    bar.set_label("share of chunks (log)")


def _draw_age_sum(ax: Axes, distribution: pa.Table) -> None:
    rounds, edges, share = _age_share(distribution)
    weights = np.diff(rounds)  # a bin of rounds counts as often as it has rounds
    mean_share = np.average(np.nan_to_num(share), axis=1, weights=weights)
    ax.stairs(np.cumsum(mean_share) / mean_share.sum(), edges - 0.5, baseline=None, color=BLUE, linewidth=1.8)
    ax.set_ylim(0, 1.02)
    share_axis(ax.yaxis)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1))
    ax.set_xlabel("rounds since the client sent the chunk")
    ax.set_ylabel("share of chunks that are at most so old")
    ax.set_title("Ages over all rounds", loc="left")


def draw_sensitivity(energy: pa.Table | None, reasons: pa.Table | None) -> Figure:
    """What the sent chunks hold beside how many they are, and why they are so many; each where it is recorded."""
    parts = [part for part in (energy, reasons) if part is not None]
    drawn, axes = figure(len(parts), 5.5 * len(parts), 4.4)
    if energy is not None:
        _draw_energy(axes[0], energy)
    if reasons is not None:
        _draw_reasons(axes[-1], reasons)
    return drawn


def _draw_energy(ax: Axes, energy: pa.Table) -> None:
    spread(ax, energy, BLUE, "energy that they hold")
    rounds = energy["round"].to_numpy()
    label = "chunks sent by a client, mean"
    ax.plot(rounds, energy["sent_share"].to_numpy(), "--", color=ORANGE, linewidth=1.5, label=label)
    ax.set_ylim(0, 1.02)
    share_axis(ax.yaxis)
    ax.set_ylabel("share of all")
    ax.set_title("Chunks sent, and energy in them", loc="left")
    legend_inside(ax)


def spread(ax: Axes, table: pa.Table, color: str, label: str) -> None:
    """A line of means over the clients in a band from the lowest to the highest, round by round."""
    columns = columns_of(table)
    rounds = columns["round"]
    ax.plot(rounds, columns["mean"], color=color, marker=marker(len(rounds)), markersize=4, label=f"{label}, mean")
    ax.fill_between(
        rounds, columns["minimum"], columns["maximum"], color=color, alpha=0.18, linewidth=0, label="lowest to highest"
    )
    round_axis(ax, int(rounds[0]), int(rounds[-1]))


def _draw_reasons(ax: Axes, reasons: pa.Table) -> None:
    rounds = np.unique(reasons["round"].to_numpy())
    names = frequent(reasons)
    counts = np.zeros((len(names), len(rounds)))
    places = [names.index(name) if name in names else len(names) - 1 for name in reasons["reason"].to_pylist()]
    np.add.at(counts, (places, np.searchsorted(rounds, reasons["round"].to_numpy())), reasons["clients"].to_numpy())
    tops = np.cumsum(counts, axis=0)
    edges = np.append(rounds - 0.5, rounds[-1] + 0.5)
    for i, (name, top) in enumerate(zip(names, tops, strict=True)):
        color = GREY if i >= REASONS else PALETTE[i]
        ax.stairs(top, edges, baseline=tops[i - 1] if i else 0, fill=True, color=color, label=name)
    round_axis(ax, int(rounds[0]), int(rounds[-1]))
    ax.set_ylim(0, float(tops[-1].max()) * (1.12 + 0.07 * len(names)))  # room for the legend
    ax.yaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1))
    ax.set_ylabel("clients")
    ax.set_title("Why so many chunks were sent", loc="left")
    ax.legend(*(side[::-1] for side in ax.get_legend_handles_labels()), loc="upper left", frameon=False, fontsize=8)


def frequent(reasons: pa.Table) -> Sequence[str]:
    """The reasons, most frequent first; where there are many, the last one stands for all others."""
    sums = reasons.group_by("reason").aggregate([("clients", "sum")])
    names = list(sums.sort_by([("clients_sum", "descending"), ("reason", "ascending")])["reason"].to_pylist())
    return names if len(names) <= REASONS else [*names[:REASONS], "other reasons"]


def draw_residual(residual: pa.Table) -> Figure:
    """The norm of what clients keep back, mean and spread."""
    drawn, (ax,) = figure(1, 6.5, 4.2)
    spread(ax, residual, BLUE, "a client's residual")
    ax.set_ylim(bottom=0)
    ax.set_ylabel("L2 norm")
    ax.set_title("What clients keep back after sending", loc="left")
    legend_inside(ax)
    return drawn


def draw_consensus(consensus: pa.Table) -> Figure:
    """How far the clients' models are from their mean."""
    drawn, (ax,) = figure(1, 6.5, 4.2)
    rounds, distance = (consensus[name].to_numpy() for name in ("round", "consensus_distance"))
    ax.plot(rounds, distance, color=BLUE, marker=marker(len(rounds)), markersize=4)
    if (distance > 0).all():
        ax.set_yscale("log")
    round_axis(ax, int(rounds[0]), int(rounds[-1]))
    ax.set_ylabel("mean squared distance from the mean model")
    ax.set_title("Consensus distance of the clients", loc="left")
    return drawn
