"""The tables of a run as Parquet files that can be read at every moment.

While a run goes, a table is the folder ``<name>.parts`` with a file for each round or few, and ``<name>.parquet`` is a
link to it, so that ``pyarrow.parquet.read_table`` and pandas read either. A round counts once it is in ``rounds``,
which is written last: what a killed run left of a round in the other tables is skipped by that rule.

At the end each folder becomes one file, in this order, table by table and ``rounds`` last:

    1. the whole table is written to a hidden file        readers see the folder
    2. it is renamed to <name>.parquet (over the link)    readers see the file, from one instant to the next
    3. the folder is removed                              readers see the file and pass over what is left

A reader takes ``<name>.parquet`` where it is, else ``<name>.parts``. A crash at any point loses nothing, and
:func:`compact` may be called again.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import count, takewhile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fedchunk.orchestrator.core.parts import part_name, parts_of
from fedchunk.orchestrator.core.records import ROUND_TABLES, SCHEMAS
from fedchunk.orchestrator.recording.atomic import write_atomically

_ROUNDS_LAST = tuple(sorted(ROUND_TABLES, key=lambda name: name == "rounds"))
MOST_PARTS = (64, 16)
"""How many files of a table are joined to one, and how many of those to one again."""
_ROW_GROUP = 2**17
"""Rows that are joined before they are written: one-row parts would make one-row groups."""


def begin(tables: Path) -> None:
    """Makes empty tables in the folder ``tables``, readable at once. Raises OSError."""
    for name in ROUND_TABLES:
        _parts_folder(tables, name).mkdir(parents=True)
        _write(_empty(name), _part(tables, name, 0))
        # Some network file systems know no links. There the folder alone is what readers find.
        with contextlib.suppress(OSError):
            os.symlink(f"{name}.parts", tables / f"{name}.parquet")
    write_table(tables, "layout", _empty("layout"))


def write_table(tables: Path, name: str, table: pa.Table) -> None:
    """Writes a whole table as its one file. Raises OSError or pyarrow.ArrowException."""
    _write(table, tables / f"{name}.parquet")


def append_rounds(tables: Path, first_round: int, rounds: Sequence[Mapping[str, pa.Table]]) -> None:
    """Adds rounds to each of the ``ROUND_TABLES``, as one part; a table without rows gets no file.

    Args:
        tables: the folder, after :func:`begin`.
        first_round: the first of these rounds, from 1.
        rounds: for each round its rows by name of the table.

    Raises:
        OSError, pyarrow.ArrowException: the rounds are not recorded; those before them are.
    """
    for name in _ROUNDS_LAST:
        rows = pa.concat_tables([tables_of_round[name] for tables_of_round in rounds])
        if rows.num_rows:
            _write(rows, _part(tables, name, first_round))
            _join_small(tables, name)


def reopen(tables: Path) -> None:
    """Makes the tables of a run that has ended, in whatever way, grow again. May be called again. Raises OSError."""
    for name in ROUND_TABLES:
        file, folder = tables / f"{name}.parquet", _parts_folder(tables, name)
        if file.exists() and not file.is_symlink():
            shutil.rmtree(folder, ignore_errors=True)  # what is left of it beside a whole file counts for nothing
            folder.mkdir()
            os.replace(file, _part(tables, name, 0))
        folder.mkdir(exist_ok=True)
        with contextlib.suppress(OSError):
            os.symlink(f"{name}.parts", file)


def cut(tables: Path, last_round: int) -> None:
    """Leaves out what belongs to later rounds. May be called again. Raises OSError or pyarrow.ArrowException."""
    mixed = False
    for name in reversed(_ROUNDS_LAST):  # a round that is not in ``rounds`` is in no table
        for part in parts_of(_parts_folder(tables, name)):
            if part.first > last_round:
                part.path.unlink()
            else:
                mixed |= _last_round_in(part.path) > last_round
    if mixed:
        compact(tables, last_round)
        reopen(tables)


def _last_round_in(part: Path) -> int:
    with pq.ParquetFile(part) as parquet:
        column = parquet.schema_arrow.get_field_index("round")
        groups = [parquet.metadata.row_group(group) for group in range(parquet.metadata.num_row_groups)]
        return max((group.column(column).statistics.max for group in groups if group.num_rows), default=0)


def _rounds(tables: Path) -> set[int]:
    return {int(number) for part in _parts(tables, "rounds") for number in _column(part, "round")}


def _of_rounds(table: pa.Table, rounds: pa.Array) -> pa.Table:
    whole = pc.is_in(table["round"], rounds)
    return table if pc.all(whole).as_py() is not False else table.filter(whole)


def recorded(tables: Path) -> list[dict[str, Any]]:
    """The rows of ``rounds`` from round 1 on, up to the first that is missing.

    Raises OSError or pyarrow.ArrowException.
    """
    rows = {row["round"]: row for part in _parts(tables, "rounds") for row in _read(part).to_pylist()}
    return [rows[number] for number in takewhile(rows.__contains__, count(1))]


def read(tables: Path, name: str) -> pa.Table:
    """All rows of a table that grows."""
    return pa.concat_tables([_read(part) for part in _parts(tables, name)] or [_empty(name)])


def compact(tables: Path, last_round: int | None = None) -> None:
    """Makes one file of each table that is still a folder; rounds that ``rounds`` does not name are left out.

    Later rounds than ``last_round`` are left out, too.

    Raises:
        OSError, pyarrow.ArrowException: tables that were not reached are still folders.
    """
    rounds = pa.array(sorted(n for n in _rounds(tables) if last_round is None or n <= last_round), pa.int32())
    for name in _ROUNDS_LAST:
        file, folder = tables / f"{name}.parquet", _parts_folder(tables, name)
        if file.is_symlink() or not file.exists():
            write_atomically(file, partial(_join, _parts(tables, name), SCHEMAS[name], rounds))
        # Only now, and whatever is left of it: a folder beside a whole file is an earlier removal that was cut short.
        shutil.rmtree(folder, ignore_errors=True)


def _join_small(tables: Path, name: str) -> None:
    """Joins many files of a table to one, so that ten thousand rounds do not leave as many."""
    parts = parts_of(_parts_folder(tables, name))
    for tier, most in enumerate(MOST_PARTS):
        same = [part for part in parts if part.tier == tier and part.first]
        if len(same) < most:
            continue
        joined = _parts_folder(tables, name) / part_name(same[0].first, same[-1].last, tier + 1)
        write_atomically(joined, partial(_join, [part.path for part in same], SCHEMAS[name], None))
        for part in same:  # from here on nobody reads them
            part.path.unlink(missing_ok=True)
        parts = parts_of(_parts_folder(tables, name))


def _join(parts: Sequence[Path], schema: pa.Schema, rounds: pa.Array | None, to: Path) -> None:
    """Part by part, so that a chunks table larger than the memory passes; of ``rounds`` only, where that is given."""
    with pq.ParquetWriter(to, schema, **encoding(schema)) as writer:
        for table in _row_groups(parts):
            writer.write_table(table if rounds is None else _of_rounds(table, rounds))


def _row_groups(parts: Sequence[Path]) -> Iterator[pa.Table]:
    waiting: list[pa.Table] = []
    for part in parts:
        waiting.append(_read(part))
        if sum(table.num_rows for table in waiting) >= _ROW_GROUP:
            yield pa.concat_tables(waiting)
            waiting = []
    if waiting:
        yield pa.concat_tables(waiting)


def _read(part: Path) -> pa.Table:
    """A part file. Nullable columns that are younger than it are null: a run may go on in a later version."""
    with pq.ParquetFile(part, page_checksum_verification=True) as parquet:
        table = parquet.read()
    schema = SCHEMAS[part.parent.stem]
    if table.schema.equals(schema):
        return table
    missing = [field.name for field in schema if field.nullable and field.name not in table.column_names]
    for name in missing:
        table = table.append_column(schema.field(name), pa.nulls(table.num_rows, schema.field(name).type))
    return table.select(schema.names) if missing else table


def _column(part: Path, name: str) -> list[Any]:
    with pq.ParquetFile(part) as parquet:
        values: list[Any] = parquet.read([name])[name].to_pylist()
    return values


def _write(table: pa.Table, path: Path) -> None:
    write_atomically(path, lambda temporary: pq.write_table(table, temporary, **encoding(table.schema)))


def encoding(schema: pa.Schema) -> dict[str, Any]:
    """How columns are stored: numbers that never repeat split into their bytes, numbers that count up as differences.

    That of ``chunks`` takes 6 to 7 bytes a row then, not 11, and is faster to write and to read.
    """
    floats = [field.name for field in schema if pa.types.is_floating(field.type)]
    counting = [field.name for field in schema if field.name == "chunk"]
    return {
        "compression": "zstd",
        "write_page_checksum": True,
        "use_dictionary": [field.name for field in schema if field.name not in (*floats, *counting)],
        "column_encoding": dict.fromkeys(floats, "BYTE_STREAM_SPLIT") | dict.fromkeys(counting, "DELTA_BINARY_PACKED"),
    }


def _empty(name: str) -> pa.Table:
    """Not by ``Schema.empty_table``, which imports pandas: a fifth of a second of a start."""
    return pa.Table.from_batches([], SCHEMAS[name])


def _parts_folder(tables: Path, name: str) -> Path:
    return tables / f"{name}.parts"


def _part(tables: Path, name: str, round_index: int) -> Path:
    return _parts_folder(tables, name) / part_name(round_index)


def _parts(tables: Path, name: str) -> list[Path]:
    return [part.path for part in parts_of(_parts_folder(tables, name))]
