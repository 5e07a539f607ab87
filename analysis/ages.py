"""How long chunks had waited at their clients, added up round by round. Letters: R rounds, A ages, C chunks, B bins."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedchunk.analysis.binning import bin_of_each, bins
from fedchunk.analysis.chunk_rounds import ChunkRound
from fedchunk.analysis.statistics import AgeStatistics, IntArray, age_statistics


class Ages:
    """Counts of ages. Everything that is said of ages follows from them, however many chunks there are."""

    def __init__(self, rounds_R: NDArray[np.integer]) -> None:
        """Of all rounds that may come, ascending."""
        self._rounds_R, self._bin_R = rounds_R, bin_of_each(bins(len(rounds_R)))
        self._counts_BA = np.zeros((len(np.unique(self._bin_R)), 1), np.int64)
        self.by_round: dict[int, AgeStatistics] = {}

    def add(self, of_round: ChunkRound) -> None:
        """Adds a round."""
        counts_A = np.bincount(of_round.age_NC.ravel())
        if not len(counts_A):
            return
        self.by_round[of_round.round_index] = age_statistics(counts_A)
        if len(counts_A) > self._counts_BA.shape[1]:
            more = max(len(counts_A), 2 * self._counts_BA.shape[1]) - self._counts_BA.shape[1]
            self._counts_BA = np.pad(self._counts_BA, ((0, 0), (0, more)))
        row = self._bin_R[np.searchsorted(self._rounds_R, of_round.round_index)]
        self._counts_BA[row, : len(counts_A)] += counts_A

    @property
    def counts_BA(self) -> IntArray:
        """How many chunks of how many clients had which age in the rounds of a bin, shape (B, oldest + 1)."""
        oldest = np.flatnonzero(self._counts_BA.any(axis=0)).max(initial=0)
        return self._counts_BA[:, : oldest + 1]

    @property
    def of_all(self) -> AgeStatistics:
        """Over all rounds. Raises ValueError where there was none."""
        return age_statistics(self._counts_BA.sum(axis=0))
