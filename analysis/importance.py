"""How importance spreads over chunks, added up round by round.

Letters: M pairs of a client and a round, N clients, C chunks, B bins of chunks.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedchunk.analysis.binning import bin_of_each, bins
from fedchunk.analysis.chunk_rounds import ChunkRound
from fedchunk.analysis.quantiles import QuantileSketch
from fedchunk.analysis.statistics import FloatArray, energy_captured, gini, lorenz

BLOCK = 2_000_000
"""Scores worked on at once: 16 MB as float64, whatever the number of clients."""


class Importance:
    """Quantiles and concentration of scores, means over clients and rounds whose scores are all finite."""

    def __init__(self, num_chunks: int) -> None:
        """Of C chunks."""
        self.edges = bins(num_chunks)
        """Borders of the bins of chunks."""
        self.quantiles = QuantileSketch(len(self.edges) - 1)
        """Of scores relative to the mean chunk of the same client and round, for each bin of chunks."""
        self.rows = 0
        self._bin_C = bin_of_each(self.edges)
        self._sent_C = np.zeros(num_chunks, np.int64)
        self._curves = np.zeros((2, len(self.edges)))
        self._sums = np.zeros(3)

    def add(self, of_round: ChunkRound) -> None:
        """Adds a round, in blocks of clients."""
        height = max(1, BLOCK // max(1, of_round.scores_NC.shape[1]))
        for first in range(0, len(of_round.clients_N), height):
            block = slice(first, first + height)
            self._add(of_round.scores_NC[block], of_round.selected_NC[block])

    def _add(self, scores_MC: NDArray[np.float32], selected_MC: NDArray[np.bool_]) -> None:
        finite_M = np.isfinite(scores_MC).all(axis=1)
        if not finite_M.all():
            scores_MC, selected_MC = scores_MC[finite_M], selected_MC[finite_M]
        if not len(scores_MC):
            return
        self.rows += len(scores_MC)
        self._sent_C += selected_MC.sum(axis=0)
        means_M = scores_MC.mean(axis=1, dtype=np.float64, keepdims=True)
        relative_MC = np.divide(scores_MC, means_M, out=np.ones(scores_MC.shape), where=means_M > 0)
        self.quantiles.add(np.broadcast_to(self._bin_C, relative_MC.shape), relative_MC)
        self._add_concentration(scores_MC, selected_MC)

    def _add_concentration(self, scores_MC: NDArray[np.float32], selected_MC: NDArray[np.bool_]) -> None:
        """Lorenz curves, turned so that the most important chunk comes first, and what the sent chunks hold."""
        last = scores_MC.shape[1] - self.edges
        for curve, values_MC in zip(self._curves, (scores_MC, np.square(scores_MC.astype(np.float64))), strict=True):
            curve += (1.0 - lorenz(values_MC)[1][:, last]).sum(axis=0)
        totals_M = scores_MC.sum(axis=1, dtype=np.float64)
        held_M = np.where(selected_MC, scores_MC, 0.0).sum(axis=1, dtype=np.float64)
        score_M = np.divide(held_M, totals_M, out=np.ones_like(totals_M), where=totals_M > 0)
        energy_M = energy_captured(scores_MC, selected_MC)
        self._sums += gini(scores_MC).sum(), score_M.sum(), energy_M.sum()

    @property
    def curves(self) -> FloatArray:
        """Share that the most important chunks hold, of scores and of squared scores, at each of ``edges``."""
        return self._curves / self.rows

    @property
    def shares(self) -> tuple[float, float, float]:
        """Gini coefficient, and shares of scores and of squared scores in the chunks sent; means."""
        gini, score, energy = (float(total) / self.rows for total in self._sums)
        return gini, score, energy

    @property
    def sent_share_B(self) -> FloatArray:
        """How often a chunk of a bin was sent, of all times it could be."""
        return np.asarray(np.add.reduceat(self._sent_C, self.edges[:-1]) / (self.rows * np.diff(self.edges)))

    @property
    def sent_share(self) -> float:
        """The same of all chunks."""
        return float(self._sent_C.sum() / (self.rows * len(self._sent_C)))


class ClientScores:
    """Mean scores of some clients' chunks, and what they sent."""

    def __init__(self, clients_N: Sequence[int], num_chunks: int) -> None:
        """Of these clients, ascending."""
        self.clients_N = np.array(clients_N, np.int32)
        self.rounds: dict[int, list[int]] = {client: [] for client in clients_N}
        self._scores_NC = np.zeros((len(clients_N), num_chunks))
        self._times_sent_NC = np.zeros((len(clients_N), num_chunks), np.int64)
        self._energy_N = np.zeros(len(clients_N))

    def add(self, of_round: ChunkRound) -> None:
        """Adds a round; they come ascending."""
        here = np.isin(of_round.clients_N, self.clients_N)
        if not here.any():
            return
        rows = np.searchsorted(self.clients_N, of_round.clients_N[here])
        scores_MC, selected_MC = of_round.scores_NC[here], of_round.selected_NC[here]
        self._scores_NC[rows] += scores_MC
        self._times_sent_NC[rows] += selected_MC
        self._energy_N[rows] += energy_captured(scores_MC, selected_MC)
        for client in of_round.clients_N[here]:
            self.rounds[int(client)].append(of_round.round_index)

    def of(self, client: int) -> tuple[FloatArray, NDArray[np.int64], float]:
        """A client's mean score of each chunk, how often it sent it, and the mean share of energy in what it sent."""
        row, count = int(np.searchsorted(self.clients_N, client)), len(self.rounds[client])
        return self._scores_NC[row] / count, self._times_sent_NC[row], float(self._energy_N[row] / count)
