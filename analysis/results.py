"""What the ChunkAnalyzer answers: frozen values that print as small tables and convert to Arrow."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fedchunk.analysis.overlap import Agreement, chance_corrected
from fedchunk.analysis.statistics import top_indices
from fedchunk.analysis.text import list_text, number_text, table_text

SHOWN = 20
"""Lines of a printed table: what fits on a screen beside the rest."""


@dataclass(frozen=True)
class ClientSelection:
    """What one client sent in the rounds that were asked for."""

    client: int
    rounds: int
    """Rounds in which its update counted; 0 if it was absent."""
    selected_chunks: tuple[int, ...]
    """The distinct chunks it sent, ascending."""
    num_selections: int
    """Chunks it sent, counted once for each round."""
    selection_percentage: float | None
    """Mean share of its chunks that it sent in a round, in percent; None if it was absent."""

    @property
    def num_selected(self) -> int:
        """Distinct chunks."""
        return len(self.selected_chunks)


@dataclass(frozen=True, eq=False)
class ChunkDistribution:
    """Which chunks are chosen, by whom and how often. C chunks."""

    total_chunks: int
    sensitivity_percentage: float | None
    """The setting; with dynamic sensitivity the ceiling. None if the settings do not say."""
    rounds: tuple[int, ...]
    """The rounds that were counted."""
    clients: tuple[ClientSelection, ...]
    chunk_popularity_C: NDArray[np.int64]
    """Number of clients that sent the chunk at least once."""
    chunk_selections_C: NDArray[np.int64]
    """Number of times that the chunk was sent, over clients and rounds."""
    mean_round_coverage: float
    """Share of the chunks that somebody sent in a round, mean over rounds, 0 to 1."""
    agreement: Agreement | None
    """Of pairs of clients in a round, over all rounds; None if no round had two clients."""

    @property
    def total_possible_chunk_selections(self) -> int:
        """What full exchange would have sent: every chunk of every client in each of its rounds."""
        return self.total_chunks * sum(client.rounds for client in self.clients)

    @property
    def actual_chunk_selections(self) -> int:
        """What was sent."""
        return int(self.chunk_selections_C.sum())

    @property
    def chunks_with_contributions(self) -> tuple[int, ...]:
        """Chunks that somebody sent in some round, ascending."""
        return tuple(int(c) for c in np.flatnonzero(self.chunk_popularity_C))

    @property
    def chunks_without_contributions(self) -> tuple[int, ...]:
        """Chunks that nobody ever sent, ascending."""
        return tuple(int(c) for c in np.flatnonzero(self.chunk_popularity_C == 0))

    @property
    def coverage_percentage(self) -> float:
        """Chunks that somebody sent in some round, of all chunks, in percent."""
        return 100 * len(self.chunks_with_contributions) / self.total_chunks

    def to_arrow(self) -> pa.Table:
        """A row per chunk: chunk, clients (that ever sent it), selections."""
        columns = {
            "chunk": pa.array(range(self.total_chunks), pa.int32()),
            "clients": pa.array(self.chunk_popularity_C),
            "selections": pa.array(self.chunk_selections_C),
        }
        return pa.table(columns)

    def clients_to_arrow(self) -> pa.Table:
        """A row per client: client, rounds, selected_chunks (a list), num_selections, selection_percentage."""
        kinds = (pa.int32(), pa.int64(), pa.list_(pa.int32()), pa.int64(), pa.float64())
        names = [field.name for field in fields(ClientSelection)]
        return pa.table(
            {
                name: pa.array([getattr(client, name) for client in self.clients], kind)
                for name, kind in zip(names, kinds, strict=True)
            }
        )

    def __str__(self) -> str:
        popular = top_indices(self.chunk_selections_C.astype(np.float64), 10)
        lines = [
            f"{self.total_chunks} chunks, {len(self.clients)} clients, {len(self.rounds)} rounds; "
            f"sensitivity_percentage {number_text(self.sensitivity_percentage)}",
            f"sent {self.actual_chunk_selections} of {self.total_possible_chunk_selections} possible; "
            f"coverage {self.coverage_percentage:.1f} % in all, {100 * self.mean_round_coverage:.1f} % in a mean round",
            f"never sent: {list_text(self.chunks_without_contributions) or 'none'}",
            f"most sent: {', '.join(f'{c} ({self.chunk_selections_C[c]}x)' for c in popular)}",
        ]
        if self.agreement:
            lines.append(
                f"Jaccard of two clients {self.agreement.jaccard:.3f}, "
                f"by chance {self.agreement.expected_jaccard:.3f}, "
                f"corrected {number_text(self.agreement.chance_corrected)}"
            )
        rows = [(c.client, c.rounds, c.num_selected, c.num_selections, c.selection_percentage) for c in self.clients]
        lines.append(table_text(("client", "rounds", "distinct", "sent", "% a round"), rows[:SHOWN]))
        return "\n".join(lines + [f"... {len(rows) - SHOWN} clients more"] * (len(rows) > SHOWN))


@dataclass(frozen=True)
class ChunkOverlap:
    """How alike two selections are."""

    intersection_size: int
    union_size: int
    jaccard_similarity: float
    """``|A and B| / |A or B|``; 1 for two empty selections, which are equal."""
    overlap_coefficient: float
    """``|A and B| / min(|A|, |B|)``; 1 for two empty selections, 0 where one alone is empty."""
    expected_jaccard: float | None
    """What two random selections of these sizes would show; None where the number of chunks is not known."""

    @property
    def chance_corrected_jaccard(self) -> float | None:
        """0 for what chance gives, 1 for equal; None where it is not known or chance alone gives 1."""
        if self.expected_jaccard is None:
            return None
        return chance_corrected(self.jaccard_similarity, self.expected_jaccard)

    def _row(self) -> dict[str, float | None]:
        row = {field.name: getattr(self, field.name) for field in fields(self)}
        return {**row, "chance_corrected_jaccard": self.chance_corrected_jaccard}

    def to_arrow(self) -> pa.Table:
        """One row with all values."""
        kinds = {"intersection_size": pa.int64(), "union_size": pa.int64()}
        return pa.table({name: pa.array([value], kinds.get(name, pa.float64())) for name, value in self._row().items()})

    def __str__(self) -> str:
        return table_text(("overlap", "value"), list(self._row().items()))


@dataclass(frozen=True, eq=False)
class ChunkImportance:
    """How one client's importance spreads over the chunks. C chunks."""

    client: int
    score: str
    """The rule that made the scores; see the setting ``chunk_score``."""
    rounds: tuple[int, ...]
    """The rounds that were counted."""
    chunk_importance_C: NDArray[np.float64]
    """Mean score of the chunk over these rounds."""
    times_sent_C: NDArray[np.int64]
    """In how many of these rounds the client sent the chunk."""
    gini: float
    """0 where all chunks matter alike, near 1 where few do."""
    effective_chunks: float
    """``(sum v)^2 / sum v^2``: how many equally important chunks would be as concentrated."""
    energy_captured: float
    """Share of the squared scores in the chunks it sent, mean over rounds, 0 to 1."""
    top_chunks: tuple[int, ...]
    """Most important first, ties by ascending chunk."""
    bottom_chunks: tuple[int, ...]
    """Least important first, ties by ascending chunk."""

    @property
    def mean(self) -> float:
        """Mean importance."""
        return float(self.chunk_importance_C.mean())

    @property
    def std(self) -> float:
        """Standard deviation over chunks (of all chunks, so divided by C)."""
        with np.errstate(invalid="ignore"):  # an infinite score gives nan
            return float(self.chunk_importance_C.std())

    @property
    def minimum(self) -> float:
        """Least importance."""
        return float(self.chunk_importance_C.min())

    @property
    def maximum(self) -> float:
        """Greatest importance."""
        return float(self.chunk_importance_C.max())

    @property
    def range(self) -> float:
        """Greatest less least."""
        return self.maximum - self.minimum

    def to_arrow(self) -> pa.Table:
        """A row per chunk: chunk, importance, times_sent."""
        columns = {
            "chunk": pa.array(range(len(self.chunk_importance_C)), pa.int32()),
            "importance": pa.array(self.chunk_importance_C),
            "times_sent": pa.array(self.times_sent_C),
        }
        return pa.table(columns)

    def __str__(self) -> str:
        names = ("mean", "std", "minimum", "maximum", "range", "gini", "effective_chunks", "energy_captured")
        head = f"client {self.client}: {self.score} score of {len(self.chunk_importance_C)} chunks"
        ends = [
            f"{label}: {', '.join(f'{c} ({self.chunk_importance_C[c]:.4g})' for c in chunks)}"
            for label, chunks in (("top", self.top_chunks), ("bottom", self.bottom_chunks))
        ]
        rows = [(name, getattr(self, name)) for name in names]
        return "\n".join([f"{head}, {len(self.rounds)} rounds", table_text(("importance", "value"), rows), *ends])
