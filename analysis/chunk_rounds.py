"""The ``chunks`` table round by round: what each client scored and chose. A round at a time is in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fedchunk.orchestrator.core.errors import RecordsError

KEYS = ("round", "client", "chunk")
VALUES = ("score", "distance", "selected", "age")


@dataclass(frozen=True, eq=False)
class ChunkRound:
    """What the clients whose updates counted scored and chose in one round. Letters: N these clients, C chunks.

    The arrays are read-only.
    """

    round_index: int
    clients_N: NDArray[np.int32]
    """Ascending."""
    scores_NC: NDArray[np.float32]
    distances_NC: NDArray[np.float32]
    """nan where the run recorded no distance."""
    selected_NC: NDArray[np.bool_]
    age_NC: NDArray[np.int32]


def rounds_of(tables: Iterable[pa.Table], num_chunks: int, path: object) -> Iterator[ChunkRound]:
    """The rounds, ascending, of a ``chunks`` table that comes in pieces.

    Args:
        tables: pieces of the table, in order; a round may be cut by them.
        num_chunks: C.
        path: of the run, for messages.

    Raises:
        RecordsError: a client's round has not exactly one row for each chunk, or a round comes after a later one.
    """
    last = 0
    for piece in whole_rounds(tables):
        for of_round in _split(piece, num_chunks, path):
            if of_round.round_index <= last:
                raise RecordsError(
                    f"{path}: table chunks: round {of_round.round_index} comes after round {last}, in pieces; a run "
                    "writes its rounds in order: restore the file"
                )
            last = of_round.round_index
            yield of_round


def whole_rounds(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The same rows in pieces that end where a round ends; tables without rows are left out."""
    waiting: list[pa.Table] = []
    for table in tables:
        if not table.num_rows:
            continue
        rounds = table["round"].to_numpy()
        border = int(np.argmax(rounds == rounds[-1]))  # rows of the last round may go on in the next piece
        if border or (waiting and waiting[-1]["round"][-1].as_py() != rounds[0]):
            yield pa.concat_tables([*waiting, table.slice(0, border)])
            waiting.clear()
        waiting.append(table.slice(border))
    if waiting:
        yield pa.concat_tables(waiting)


def _split(table: pa.Table, num_chunks: int, path: object) -> Iterator[ChunkRound]:
    """The rounds of rows that hold whole rounds."""
    keys_M, values_MC = rows_of(table, num_chunks, path)
    rounds_M = keys_M["round"]
    borders = np.flatnonzero(np.diff(rounds_M, prepend=-1, append=-1))
    for start, stop in pairwise(borders):
        part = slice(int(start), int(stop))
        yield ChunkRound(
            int(rounds_M[start]), keys_M["client"][part], *(values_MC[name][part] for name in VALUES)
        )  # fmt: skip


def rows_of(
    chunks: pa.Table, num_chunks: int, path: object
) -> tuple[dict[str, NDArray[np.int32]], dict[str, NDArray[Any]]]:
    """Rows of the table as one for each of M pairs of a round and a client, ascending, whatever their order was.

    Returns:
        ``round`` and ``client``, each (M,), and the other columns, each (M, C). Read-only.

    Raises:
        RecordsError: a client's round has not exactly one row for each chunk.
    """
    keys = {name: chunks[name].to_numpy() for name in KEYS}
    order = None if _are_in_order(keys, num_chunks) else np.lexsort((keys["chunk"], keys["client"], keys["round"]))
    if order is not None:
        keys = {name: values[order] for name, values in keys.items()}
        _check_complete(keys, num_chunks, path)
    found = {name: _in_order(chunks[name].to_numpy(), order) for name in VALUES}
    found["distance"] = found["distance"].astype(np.float32, copy=False)  # a null has become nan
    return (
        {name: _read_only(keys[name][:: num_chunks or 1]) for name in ("round", "client")},
        {name: _read_only(_blocks(values, num_chunks)) for name, values in found.items()},
    )


def _are_in_order(keys: dict[str, NDArray[np.int32]], num_chunks: int) -> bool:
    """Whether rows come by round, client and chunk and are complete, as a run writes them."""
    if num_chunks <= 0 or len(keys["round"]) % num_chunks:
        return False
    rounds, clients, numbers = (_blocks(keys[name], num_chunks) for name in KEYS)
    pairs = rounds[:, 0].astype(np.int64) * 2**31 + clients[:, 0]
    alike = all((values == values[:, :1]).all() for values in (rounds, clients))
    return bool(alike and (numbers == np.arange(num_chunks)).all() and (np.diff(pairs) > 0).all())


def _in_order(values: NDArray[Any], order: NDArray[np.intp] | None) -> NDArray[Any]:
    return values if order is None else values[order]


def _blocks(values: NDArray[Any], num_chunks: int) -> NDArray[Any]:
    return values.reshape(-1, num_chunks) if num_chunks else values.reshape(0, 0)


def _read_only(values: NDArray[Any]) -> NDArray[Any]:
    values.flags.writeable = False
    return values


def _check_complete(keys: dict[str, NDArray[np.int32]], num_chunks: int, path: object) -> None:
    """Each client's round has the rows 0 to C - 1; the rows come by round, client and chunk."""
    round_index, client, chunk = (keys[name] for name in KEYS)
    new = (client[1:] != client[:-1]) | (round_index[1:] != round_index[:-1])
    borders = np.flatnonzero(np.r_[True, new, True]) if len(client) else np.zeros(1, np.intp)
    for start, stop in pairwise(borders):
        if stop - start != num_chunks or not np.array_equal(chunk[start:stop], np.arange(num_chunks)):
            raise RecordsError(
                f"{path}: table chunks: client {client[start]} in round {round_index[start]} has {stop - start} rows, "
                f"expected one for each of {num_chunks} chunks; the table is damaged, or not of this run"
            )
