"""The picture of a split: how many samples each client holds, and of which labels; or how their numbers spread."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fedchunk.analysis.drawing import BLUE, VERMILION, figure, heat_map
from fedchunk.analysis.mpl import Axes, Figure, LogNorm, MaxNLocator, own_style
from fedchunk.orchestrator.core.errors import RecordsError


@dataclass(frozen=True)
class Split:
    """Who holds what."""

    name: str
    """Of the data set."""
    sizes_N: np.ndarray
    """Training samples of each client."""
    figures_N: np.ndarray
    """How many labels or tokens of each kind each client has, (N, C); of numbers least, quartiles, most, (N, d, 5)."""
    what: str
    """labels, tokens or numbers."""


def save_split(path: Path, split: Split) -> None:
    """Draws a split into a file, whose suffix says the format. Raises RecordsError where it cannot be written."""
    with own_style():
        try:
            draw_split(split).savefig(path)
        except OSError as error:
            raise RecordsError(f"{path}: cannot be written: {error.strerror or error}") from None


def draw_split(split: Split) -> Figure:
    """Samples by client, as bars, and what they are beside it: a heat map of counts, or bands of quantiles."""
    drawn, (bars, beside) = figure(2, 11, 4.4)
    clients = len(split.sizes_N)
    edges = np.arange(clients + 1) - 0.5
    bars.stairs(split.sizes_N, edges, fill=True, color=BLUE)
    bars.set_ylabel("training samples")
    bars.set_title(f"{split.name}: {split.sizes_N.sum():,} samples of {clients:,} clients", loc="left")
    if split.what == "numbers":
        _draw_numbers(beside, split.figures_N, edges)
    else:
        _draw_counts(drawn, beside, split.figures_N, split.what, edges)
    for ax in (bars, beside):
        _client_axis(ax, clients)
    return drawn


def _draw_numbers(ax: Axes, quantiles_NDQ: np.ndarray, edges: np.ndarray) -> None:
    """Of the first number of a sample."""
    least, low, median, high, most = quantiles_NDQ[:, 0].T
    ax.stairs(most, edges, baseline=least, fill=True, color=BLUE, alpha=0.2, label="least to most")
    ax.stairs(high, edges, baseline=low, fill=True, color=BLUE, alpha=0.5, label="quartiles")
    ax.hlines(median, edges[:-1], edges[1:], color=VERMILION, label="median")
    width = quantiles_NDQ.shape[1]
    ax.set_ylabel("target" if width == 1 else f"first of {width} targets")
    ax.set_title("Targets of the clients", loc="left")
    ax.legend(frameon=False, fontsize=8)


def _draw_counts(drawn: Figure, cells: Axes, counts_NC: np.ndarray, what: str, edges: np.ndarray) -> None:
    """Grey cells are empty."""
    labels = counts_NC.shape[1]
    known = np.where(counts_NC > 0, counts_NC, np.nan).T
    scale = LogNorm(1, max(2, int(counts_NC.max())))
    mesh = heat_map(cells, edges, np.arange(labels + 1) - 0.5, known, norm=scale)
    drawn.colorbar(mesh, ax=cells, label=f"{'samples' if what == 'labels' else what} (grey: none)")
    cells.set_ylabel(what.removesuffix("s"))
    cells.yaxis.set_major_locator(MaxNLocator(nbins=12, integer=True))
    cells.set_title(f"{what.capitalize()} of the clients", loc="left")


def _client_axis(ax: Axes, clients: int) -> None:
    ax.set_xlabel("client")
    ax.set_xlim(-0.5, clients - 0.5)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=12, integer=True, min_n_ticks=1))
