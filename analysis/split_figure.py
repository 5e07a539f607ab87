"""The picture of a split: how many samples each client holds, and of which labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fedchunk.analysis.drawing import BLUE, figure, heat_map
from fedchunk.analysis.mpl import Axes, Figure, LogNorm, MaxNLocator, own_style
from fedchunk.orchestrator.core.errors import RecordsError


def save_split(path: Path, counts_NC: np.ndarray, name: str) -> None:
    """Draws a split into a file. Raises RecordsError where it cannot be written.

    Args:
        path: its suffix says the format.
        counts_NC: samples of each client and label, (N, C).
        name: of the data set.
    """
    with own_style():
        try:
            draw_split(counts_NC, name).savefig(path)
        except OSError as error:
            raise RecordsError(f"{path}: cannot be written: {error.strerror or error}") from None


def draw_split(counts_NC: np.ndarray, name: str) -> Figure:
    """Samples by client, as bars, and by client and label, as a heat map; grey cells are empty."""
    drawn, (bars, cells) = figure(2, 11, 4.4)
    clients, labels = counts_NC.shape
    edges = np.arange(clients + 1) - 0.5
    bars.stairs(counts_NC.sum(axis=1), edges, fill=True, color=BLUE)
    bars.set_ylabel("training samples")
    bars.set_title(f"{name}: {counts_NC.sum():,} samples of {clients:,} clients", loc="left")
    known = np.where(counts_NC > 0, counts_NC, np.nan).T
    scale = LogNorm(1, max(2, int(counts_NC.max())))
    mesh = heat_map(cells, edges, np.arange(labels + 1) - 0.5, known, norm=scale)
    drawn.colorbar(mesh, ax=cells, label="samples (grey: none)")
    cells.set_ylabel("label")
    cells.yaxis.set_major_locator(MaxNLocator(nbins=12, integer=True))
    cells.set_title("Labels of the clients", loc="left")
    for ax in (bars, cells):
        _client_axis(ax, clients)
    return drawn


def _client_axis(ax: Axes, clients: int) -> None:
    ax.set_xlabel("client")
    ax.set_xlim(-0.5, clients - 0.5)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=12, integer=True, min_n_ticks=1))
