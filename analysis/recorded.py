"""A client as the tables remember it: what it scored and chose, round by round."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from orchestrator.errors import RecordsError


@dataclass(frozen=True, eq=False)
class RecordedClient:
    """One client's scores and choices in the rounds in which its update counted. Letters: R its rounds, C chunks.

    A rejected or failed update changed nobody's model: the ``clients`` table has a row of it, this has none.
    """

    client: int
    num_chunks: int
    rounds_R: NDArray[np.int32]
    """The rounds, ascending; empty if none counted or chunks were not recorded."""
    scores_RC: NDArray[np.float32]
    distances_RC: NDArray[np.float32]
    """nan where the run recorded no distance."""
    selected_RC: NDArray[np.bool_]
    age_RC: NDArray[np.int32]

    def rows_of(self, round_index: int | None) -> NDArray[np.intp]:
        """Which rows belong to ``round_index`` (none or one), or all of them for None."""
        if round_index is None:
            return np.arange(len(self.rounds_R))
        return np.flatnonzero(self.rounds_R == round_index)

    def chunks_sent(self, round_index: int | None = None) -> NDArray[np.bool_]:
        """Which chunks it sent in the round, or in any round for None; shape (C,)."""
        return np.asarray(self.selected_RC[self.rows_of(round_index)].any(axis=0))

    def __str__(self) -> str:
        return f"client {self.client}: {len(self.rounds_R)} rounds of {self.num_chunks} chunks"


def recorded_clients(tables: Mapping[str, pa.Table], num_chunks: int, path: object) -> tuple[RecordedClient, ...]:
    """All clients that the ``clients`` table names, ascending, with their rows of the ``chunks`` table.

    Raises:
        RecordsError: a client's round has not exactly one row for each chunk.
    """
    rows = _sorted_rows(tables["chunks"])
    client, round_index, chunk = (rows[name] for name in ("client", "round", "chunk"))
    starts = np.flatnonzero(np.r_[True, (client[1:] != client[:-1]) | (round_index[1:] != round_index[:-1])])
    starts = starts if len(client) else starts[:0]
    _check_complete(client, round_index, chunk, starts, num_chunks, path)
    block_clients, block_rounds = client[starts], round_index[starts]
    columns = {name: rows[name].reshape(len(starts), num_chunks) for name in ("score", "distance", "selected", "age")}
    known = np.unique(tables["clients"]["client"].to_numpy())
    firsts, stops = np.searchsorted(block_clients, known), np.searchsorted(block_clients, known, side="right")
    return tuple(
        RecordedClient(
            int(number),
            num_chunks,
            block_rounds[first:stop],
            columns["score"][first:stop],
            columns["distance"][first:stop],
            columns["selected"][first:stop],
            columns["age"][first:stop],
        )
        for number, first, stop in zip(known, firsts, stops, strict=True)
    )


def _sorted_rows(chunks: pa.Table) -> dict[str, NDArray[Any]]:
    """The columns of the table sorted by client, round and chunk; read-only."""
    columns = {name: chunks[name].to_numpy() for name in chunks.column_names}
    order = np.lexsort((columns["chunk"], columns["round"], columns["client"]))
    rows = {name: values[order] for name, values in columns.items()}
    rows["distance"] = rows["distance"].astype(np.float32)  # a null has become nan
    for values in rows.values():
        values.flags.writeable = False
    return rows


def _check_complete(
    client: NDArray[np.integer],
    round_index: NDArray[np.integer],
    chunk: NDArray[np.integer],
    starts: NDArray[np.integer],
    num_chunks: int,
    path: object,
) -> None:
    stops = np.append(starts, len(chunk))[1:]
    for start, stop in zip(starts, stops, strict=True):
        if stop - start != num_chunks or not np.array_equal(chunk[start:stop], np.arange(num_chunks)):
            raise RecordsError(
                f"{path}: table chunks: client {client[start]} in round {round_index[start]} has {stop - start} rows, "
                f"expected one for each of {num_chunks} chunks; the table is damaged, or not of this run"
            )
