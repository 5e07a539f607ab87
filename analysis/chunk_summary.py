"""What figures say of a run that recorded a summary of its chunks: a row for each chunk and round."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fedchunk.analysis.binning import bins
from fedchunk.analysis.choices import Choices
from fedchunk.analysis.chunk_rounds import whole_rounds
from fedchunk.analysis.chunk_study import LAYER_ROWS
from fedchunk.analysis.layers import layer_marks
from fedchunk.orchestrator.core.errors import RecordsError
from fedchunk.orchestrator.core.records import QUANTILES


class SummaryStudy:
    """Sums over the rounds of a ``chunk_summary`` table. Letters: C chunks, Q quantiles, B bins of chunks."""

    def __init__(
        self,
        rounds_R: NDArray[np.integer],
        parameters_C: Sequence[Sequence[str]],
        tables: Iterable[pa.Table],
        path: object,
    ) -> None:
        """
        Args:
            rounds_R: the rounds of the run, ascending.
            parameters_C: names of the parameters that each chunk covers.
            tables: pieces of the table, in order.
            path: of the run, for messages.

        Raises:
            RecordsError: a round has not exactly one row for each chunk.
        """
        self.num_chunks, self._path = len(parameters_C), path
        nobody = np.zeros(0, np.int32)
        self.choices = Choices(rounds_R, nobody, self.num_chunks, layer_marks(parameters_C, LAYER_ROWS))
        self.ages: dict[int, tuple[float, int]] = {}
        """Mean and longest age of a round's chunks."""
        self._quantiles_QC = np.zeros((len(QUANTILES), self.num_chunks))
        self._scored_rounds = 0
        for table in whole_rounds(tables):
            borders = np.flatnonzero(np.diff(table["round"].to_numpy(), prepend=-1, append=-1))
            for start, stop in pairwise(borders.tolist()):
                self._add(table.slice(start, stop - start))

    def _add(self, rows: pa.Table) -> None:
        index = rows["round"][0].as_py()
        if not np.array_equal(rows["chunk"].to_numpy(), np.arange(self.num_chunks)):
            raise RecordsError(
                f"{self._path}: table chunk_summary: round {index} has {rows.num_rows} rows, expected one for each of "
                f"{self.num_chunks} chunks; the table is damaged, or not of this run"
            )
        self.choices.add_counts(index, rows["clients"][0].as_py(), rows["sent"].to_numpy().astype(np.int64))
        mean, longest = rows["age_mean"].to_numpy().mean(dtype=np.float64), rows["age_max"].to_numpy().max()
        self.ages[index] = (float(mean), int(longest))
        quantiles_QC = np.stack([rows[f"score_p{percent:02d}"].to_numpy() for percent in QUANTILES])
        if np.isfinite(quantiles_QC).all():
            self._quantiles_QC += quantiles_QC
            self._scored_rounds += 1

    @property
    def has_rounds(self) -> bool:
        """Whether there was any."""
        return bool(self.ages)

    @property
    def edges(self) -> NDArray[np.intp]:
        """Borders of the bins of chunks."""
        return bins(self.num_chunks)

    @property
    def quantiles_QB(self) -> NDArray[np.float64] | None:
        """Means over rounds, and over the chunks of a bin, of each round's quantiles; None where there are none."""
        if not self._scored_rounds:
            return None
        sums_QB = np.add.reduceat(self._quantiles_QC, self.edges[:-1], axis=1)
        return np.asarray(sums_QB / np.diff(self.edges) / self._scored_rounds)

    @property
    def sent_share_B(self) -> NDArray[np.float64]:
        """How often a chunk of a bin was sent, of all times it could be."""
        return np.asarray(
            self.choices.sent_cells.sum(axis=0) / (self.choices.participants_R.sum() * np.diff(self.edges))
        )
