"""How alike clients choose, added up round by round. Letters: R rounds of the run, N clients, C chunks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedchunk.analysis.chunk_rounds import ChunkRound
from fedchunk.analysis.overlap import (
    Agreement,
    BoolArray,
    FloatArray,
    agreement,
    expected_jaccards,
    expected_matrix,
    jaccard_matrix,
    row_jaccard,
)

MATRIX_CLIENTS = 250
"""Clients of the matrix at most: about what its pixels can show."""


class Likeness:
    """A client's choice beside its own last one, and beside those of the others in the round."""

    def __init__(self, rounds_R: NDArray[np.integer], clients_N: NDArray[np.integer], num_chunks: int) -> None:
        """Of all rounds, clients and chunks that may come."""
        self._rounds_R = rounds_R
        self._own = _OwnChoices(clients_N, num_chunks)
        self.own_2R = np.full((2, len(rounds_R)), np.nan)
        """Mean Jaccard similarity of a client's choice with its last one, and by chance; nan where there is none."""
        self.pairs_2R = np.full((2, len(rounds_R)), np.nan)
        """The same of pairs of clients in the round; nan below two."""
        self.num_pairs_R = np.zeros(len(rounds_R), np.int64)
        self._own_sums = np.zeros(3)
        self.matrix = _Pairs(clients_N)

    def add(self, of_round: ChunkRound) -> None:
        """Adds a round; they come ascending."""
        place = int(np.searchsorted(self._rounds_R, of_round.round_index))
        own_2M = self._own.add(of_round)
        if own_2M.shape[1]:
            self.own_2R[:, place] = own_2M.mean(axis=1)
            self._own_sums += *own_2M.sum(axis=1), own_2M.shape[1]
        found = agreement(of_round.selected_NC)
        if found:
            self.pairs_2R[:, place] = found.jaccard, found.expected_jaccard
            self.num_pairs_R[place] = found.pairs
        self.matrix.add(of_round)

    @property
    def own(self) -> tuple[float, float] | None:
        """Mean similarity with the own last choice, and by chance, over clients and rounds; None without any."""
        similarity, expected, count = self._own_sums
        return (float(similarity / count), float(expected / count)) if count else None

    @property
    def pairs(self) -> Agreement | None:
        """Agreement over all pairs of clients in a round, each counted once for each round; None without any."""
        return mean_agreement(self.pairs_2R, self.num_pairs_R)


def mean_agreement(pairs_2R: FloatArray, num_pairs_R: NDArray[np.int64]) -> Agreement | None:
    """The mean over pairs, of means over the pairs of a round."""
    met = num_pairs_R > 0
    if not met.any():
        return None
    similarity, expected = np.average(pairs_2R[:, met], axis=1, weights=num_pairs_R[met])
    return Agreement(int(num_pairs_R.sum()), float(similarity), float(expected))


class _OwnChoices:
    """The last choice of each client."""

    def __init__(self, clients_N: NDArray[np.integer], num_chunks: int) -> None:
        self._clients_N, self._num_chunks = clients_N, num_chunks
        self._last_NC = np.zeros((len(clients_N), num_chunks), np.bool_)
        self._has_last_N = np.zeros(len(clients_N), np.bool_)

    def add(self, of_round: ChunkRound) -> FloatArray:
        """Similarity with the last choice and by chance, (2, M) of the M clients that have one; remembers this one."""
        rows = np.searchsorted(self._clients_N, of_round.clients_N)
        again = self._has_last_N[rows]
        before_MC, now_MC = self._last_NC[rows[again]], of_round.selected_NC[again]
        self._last_NC[rows] = of_round.selected_NC
        self._has_last_N[rows] = True
        return np.stack((row_jaccard(before_MC, now_MC), _by_chance(before_MC, now_MC, self._num_chunks)))


def _by_chance(first_MC: BoolArray, second_MC: BoolArray, num_chunks: int) -> FloatArray:
    """What chance gives for each of M pairs; worked out once for each pair of sizes."""
    if not len(first_MC):
        return np.zeros(0)
    sizes_M2 = np.stack((first_MC.sum(axis=1), second_MC.sum(axis=1)), axis=1)
    kinds_K2, kind_M = np.unique(sizes_M2, axis=0, return_inverse=True)
    return np.asarray(expected_jaccards(kinds_K2[:, 0], kinds_K2[:, 1], num_chunks)[kind_M.reshape(-1)])


class _Pairs:
    """Each pair of clients, in the rounds in which both took part. Of many clients every so many are taken."""

    def __init__(self, clients_N: NDArray[np.integer]) -> None:
        places = np.unique(np.linspace(0, len(clients_N) - 1, min(len(clients_N), MATRIX_CLIENTS)).round().astype(int))
        self.clients_N = clients_N[places]
        size = len(places)
        self._sums, self.met_NN = np.zeros((2, size, size)), np.zeros((size, size), np.int64)

    def add(self, of_round: ChunkRound) -> None:
        shown = np.isin(of_round.clients_N, self.clients_N)
        if not shown.any():
            return
        selected_NC = of_round.selected_NC[shown]
        members = np.searchsorted(self.clients_N, of_round.clients_N[shown])
        cells = np.ix_(members, members)
        self._sums[0][cells] += jaccard_matrix(selected_NC)
        self._sums[1][cells] += expected_matrix(selected_NC.sum(axis=1), selected_NC.shape[1])
        self.met_NN[cells] += 1

    @property
    def means(self) -> FloatArray:
        """Similarity and what chance gives, means over common rounds (nan: none), shape (2, N, N)."""
        return np.asarray(
            np.divide(self._sums, self.met_NN, out=np.full(self._sums.shape, np.nan), where=self.met_NN > 0)
        )
