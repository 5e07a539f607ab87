"""A client as the tables remember it: what it scored and chose, round by round."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fedchunk.analysis.chunk_rounds import ChunkRound, rows_of


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
    known = np.unique(tables["clients"]["client"].to_numpy())
    keys_M, values_MC = rows_of(tables["chunks"], num_chunks, path)
    by_client = np.argsort(keys_M["client"], kind="stable")  # rounds stay ascending
    borders = np.searchsorted(keys_M["client"][by_client], np.append(known, np.iinfo(np.int32).max))
    rows = [by_client[first:stop] for first, stop in pairwise(borders)]
    return tuple(_recorded(int(n), num_chunks, keys_M, values_MC, own) for n, own in zip(known, rows, strict=True))


def _recorded(
    client: int,
    num_chunks: int,
    keys_M: Mapping[str, NDArray[np.int32]],
    values_MC: Mapping[str, NDArray[Any]],
    rows: NDArray[np.intp],
) -> RecordedClient:
    arrays: list[NDArray[Any]] = [
        keys_M["round"][rows],
        *(values_MC[name][rows] for name in ("score", "distance", "selected", "age")),
    ]
    for array in arrays:
        array.flags.writeable = False
    return RecordedClient(client, num_chunks, *arrays)


def rounds_of_clients(clients: Sequence[RecordedClient], round_index: int | None = None) -> Iterator[ChunkRound]:
    """The same, round by round: of one round (none where nobody took part), or of all, ascending."""
    ordered = sorted(clients, key=lambda client: client.client)
    rounds = np.unique(np.concatenate([client.rounds_R[client.rows_of(round_index)] for client in ordered]))
    for number in rounds:
        there = [(client, int(row)) for client in ordered for row in client.rows_of(int(number))]
        yield ChunkRound(
            int(number),
            np.array([client.client for client, _ in there], np.int32),
            np.stack([client.scores_RC[row] for client, row in there]),
            np.stack([client.distances_RC[row] for client, row in there]),
            np.stack([client.selected_RC[row] for client, row in there]),
            np.stack([client.age_RC[row] for client, row in there]),
        )
