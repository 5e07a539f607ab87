"""Which chunks clients chose, added up round by round. Letters: R rounds of the run, N clients, C chunks, B bins."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedchunk.analysis.binning import bin_of_each, bins
from fedchunk.analysis.chunk_rounds import ChunkRound
from fedchunk.analysis.layers import LayerMark


class Choices:
    """Sums over clients and rounds of what was sent; as large after many rounds as after one, but for a row a round."""

    def __init__(
        self,
        rounds_R: NDArray[np.integer],
        clients_N: NDArray[np.integer],
        num_chunks: int,
        layers: Sequence[LayerMark],
    ) -> None:
        """
        Args:
            rounds_R: all rounds that may come, ascending.
            clients_N: all clients that may come, ascending.
            num_chunks: C.
            layers: of which shares are wanted.
        """
        self.rounds_R, self.clients_N, self.layers = rounds_R, clients_N, layers
        self._chunk_edges = bins(num_chunks)
        self._bin_R = bin_of_each(bins(len(rounds_R)))
        rows = len(np.unique(self._bin_R))
        self.sent_cells = np.zeros((rows, len(self._chunk_edges) - 1), np.int64)
        """How often chunks of a bin were sent in rounds of a bin."""
        self.sent_layers = np.zeros((rows, len(layers)))
        """Senders of a layer's mean chunk in rounds of a bin."""
        self.participants_R = np.zeros(len(rounds_R), np.int64)
        self.coverage_R = np.zeros(len(rounds_R))
        """Share of the chunks that somebody sent in the round."""
        self._so_far_R = np.zeros(len(rounds_R))
        self.times_sent_NC = np.zeros((len(clients_N), num_chunks), np.int32)
        """In how many rounds a client sent a chunk."""
        self.client_rounds_N = np.zeros(len(clients_N), np.int64)
        """In how many rounds a client took part."""
        self.everything = True
        """Whether every client always sent every chunk."""
        self.num_chunks = num_chunks
        self._sent_C = np.zeros(num_chunks, np.bool_)

    def add(self, of_round: ChunkRound) -> None:
        """Adds a round; they come ascending."""
        self.add_counts(of_round.round_index, len(of_round.clients_N), of_round.selected_NC.sum(axis=0))
        rows = np.searchsorted(self.clients_N, of_round.clients_N)
        self.times_sent_NC[rows] += of_round.selected_NC
        self.client_rounds_N[rows] += 1

    def add_counts(self, round_index: int, participants: int, counts_C: NDArray[np.integer]) -> None:
        """Adds how many of a round's participants sent each chunk, without who did; rounds come ascending."""
        place = int(np.searchsorted(self.rounds_R, round_index))
        self._sent_C |= counts_C > 0
        self.participants_R[place] = participants
        self.coverage_R[place] = np.mean(counts_C > 0)
        self._so_far_R[place] = self._sent_C.mean()
        self.sent_cells[self._bin_R[place]] += np.add.reduceat(counts_C, self._chunk_edges[:-1])
        self.sent_layers[self._bin_R[place]] += [counts_C[mark.first : mark.stop].mean() for mark in self.layers]
        self.everything = self.everything and bool((counts_C == participants).all())

    @property
    def coverage_so_far_R(self) -> NDArray[np.float64]:
        """Share of the chunks that somebody sent until then."""
        return np.maximum.accumulate(self._so_far_R) if len(self._so_far_R) else self._so_far_R

    @property
    def sent_C(self) -> NDArray[np.int64]:
        """How often each chunk was sent, over clients and rounds."""
        return np.asarray(self.times_sent_NC.sum(axis=0, dtype=np.int64))

    @property
    def senders_C(self) -> NDArray[np.int64]:
        """How many clients ever sent each chunk."""
        return np.asarray((self.times_sent_NC > 0).sum(axis=0))
