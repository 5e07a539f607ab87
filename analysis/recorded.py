"""A client as the tables remember it: what it scored and chose, round by round."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fedchunk.orchestrator.core.errors import RecordsError


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
    chunks = tables["chunks"]
    order = _order(chunks, num_chunks)
    keys = {name: _ordered(chunks, name, order) for name in ("client", "round", "chunk")}
    _check_complete(keys["client"], keys["round"], keys["chunk"], num_chunks, path)
    block_clients, block_rounds = (keys[name][:: num_chunks or 1] for name in ("client", "round"))
    by_client = np.argsort(block_clients, kind="stable")  # rounds stay ascending
    columns = {
        name: _blocks(_ordered(chunks, name, order), num_chunks) for name in ("score", "distance", "selected", "age")
    }
    borders = np.searchsorted(block_clients[by_client], np.append(known, np.iinfo(np.int32).max))
    rows_of = [by_client[first:stop] for first, stop in pairwise(borders)]
    return tuple(
        RecordedClient(
            int(number),
            num_chunks,
            _read_only(block_rounds[rows]),
            _read_only(columns["score"][rows]),
            _read_only(columns["distance"][rows].astype(np.float32, copy=False)),  # a null has become nan
            _read_only(columns["selected"][rows]),
            _read_only(columns["age"][rows]),
        )
        for number, rows in zip(known, rows_of, strict=True)
    )


def _order(chunks: pa.Table, num_chunks: int) -> NDArray[np.intp] | None:
    """The order by round, client and chunk; None where the rows already have it, as a run writes them."""
    columns = {name: chunks[name].to_numpy() for name in ("round", "client", "chunk")}
    if num_chunks > 0 and chunks.num_rows % num_chunks == 0:
        rounds, clients, numbers = (_blocks(values, num_chunks) for values in columns.values())
        keys = rounds[:, 0].astype(np.int64) * 2**31 + clients[:, 0]
        alike = all((values == values[:, :1]).all() for values in (rounds, clients))
        if alike and (numbers == np.arange(num_chunks)).all() and (np.diff(keys) > 0).all():
            return None
    return np.lexsort((columns["chunk"], columns["client"], columns["round"]))


def _ordered(chunks: pa.Table, name: str, order: NDArray[np.intp] | None) -> NDArray[Any]:
    values: NDArray[Any] = chunks[name].to_numpy()
    return values if order is None else values[order]


def _blocks(values: NDArray[Any], num_chunks: int) -> NDArray[Any]:
    return values.reshape(-1, num_chunks) if num_chunks else values.reshape(0, 0)


def _read_only(values: NDArray[Any]) -> NDArray[Any]:
    values.flags.writeable = False
    return values


def _check_complete(
    client: NDArray[np.integer],
    round_index: NDArray[np.integer],
    chunk: NDArray[np.integer],
    num_chunks: int,
    path: object,
) -> None:
    """Each client's round has the rows 0 to C - 1; the rows come by round, client and chunk."""
    new = (client[1:] != client[:-1]) | (round_index[1:] != round_index[:-1])
    borders = np.flatnonzero(np.r_[True, new, True]) if len(client) else np.zeros(1, np.intp)
    for start, stop in pairwise(borders):
        if stop - start != num_chunks or not np.array_equal(chunk[start:stop], np.arange(num_chunks)):
            raise RecordsError(
                f"{path}: table chunks: client {client[start]} in round {round_index[start]} has {stop - start} rows, "
                f"expected one for each of {num_chunks} chunks; the table is damaged, or not of this run"
            )
