"""What the choices of chunks tell of a client's labels, by two measures that need no model of either."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import pdist, squareform
from scipy.stats import spearmanr

import fedchunk
from fedchunk.orchestrator.learning.data.load import load_dataset
from fedchunk.orchestrator.learning.partition import partition

PERMUTATIONS = 999
NEIGHBOURS = 3


@dataclass(frozen=True)
class Told:
    """What one run's choices tell."""

    correlation: float
    """Mantel's: Spearman's rank correlation of the distances of choices with those of labels, over pairs of clients."""
    p: float
    """Share of permutations of the clients with at least that correlation."""
    error: float
    """Mean total variation between a client's labels and the mean of its nearest neighbours' by choice; 0 to 1."""
    without: float
    """The same, told by the mean of all other clients, so without the choices."""


def told(folder: Path) -> Told:
    """Of a recorded run, with the labels that its settings give its clients."""
    run = fedchunk.load_run(folder)
    chosen_NC = np.array([client.selected_RC.mean(axis=0) for client in run.recorded_clients])
    settings = fedchunk.load_settings(folder / "config.yaml")
    dataset = load_dataset(settings)
    parts = partition(dataset.train_y, dataset.clients_S, dataset.num_classes, settings)
    counts_NL = np.array([np.bincount(dataset.train_y[part], minlength=dataset.num_classes) for part in parts])
    return compared(chosen_NC, counts_NL / counts_NL.sum(axis=1, keepdims=True))


def compared(chosen_NC: NDArray[np.float64], labels_NL: NDArray[np.float64]) -> Told:
    """How well choices stand for labels.

    Args:
        chosen_NC: how often each client chose each chunk, of its rounds; shape (clients, chunks).
        labels_NL: shares of its samples, shape (clients, labels).
    """
    # What all choose alike tells nothing of one; 1 - correlation of the rest.
    apart_M = np.nan_to_num(pdist(chosen_NC - chosen_NC.mean(axis=0), "correlation"), nan=1.0)
    labels_NN = squareform(pdist(labels_NL, "cityblock") / 2)
    correlation = _rank_correlation(apart_M, labels_NN)
    rng = np.random.default_rng(0)
    orders = (rng.permutation(len(labels_NL)) for _ in range(PERMUTATIONS))
    as_high = sum(_rank_correlation(apart_M, labels_NN[np.ix_(order, order)]) >= correlation for order in orders)

    apart_NN = squareform(apart_M)
    np.fill_diagonal(apart_NN, np.inf)
    nearest_NK = np.argsort(apart_NN, axis=1, kind="stable")[:, :NEIGHBOURS]
    others_NL = (labels_NL.sum(axis=0) - labels_NL) / (len(labels_NL) - 1)
    return Told(
        correlation,
        (as_high + 1) / (PERMUTATIONS + 1),
        _variation(labels_NL[nearest_NK].mean(axis=1), labels_NL),
        _variation(others_NL, labels_NL),
    )


def _rank_correlation(apart_M: NDArray[np.float64], labels_NN: NDArray[np.float64]) -> float:
    if np.ptp(apart_M) == 0:
        return 0.0
    return float(spearmanr(apart_M, squareform(labels_NN, checks=False)).statistic)


def _variation(told_NL: NDArray[np.float64], labels_NL: NDArray[np.float64]) -> float:
    return float(np.abs(told_NL - labels_NL).sum(axis=1).mean() / 2)
