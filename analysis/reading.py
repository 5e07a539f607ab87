"""Reads the files of a run's folder, checked against the schemas.

A run in progress, or one that was killed, is read up to its last finished round: until a run ends, each table is a
folder of part files (``orchestrator/recording/table_files.py`` says how), and only the rounds that ``rounds`` names
are whole. All files of a table are opened before the first is read, so that a run that joins or removes them
meanwhile disturbs nobody.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fedchunk.orchestrator.core.errors import RecordsError
from fedchunk.orchestrator.core.manifest import check
from fedchunk.orchestrator.core.parts import parts_of
from fedchunk.orchestrator.core.records import OPTIONAL_TABLES, SCHEMA_VERSION, SCHEMAS, checked

_TRIES = 100
"""A list of files is old when a run joins them in that moment; the next one hardly ever is."""
YOUNGER_TABLES = ("metrics", "chunk_summary")
"""Tables that were added later: a run from before has none, which is the same as an empty one."""


def read_rounds(folder: Path) -> pa.Table:
    """The ``rounds`` table, which says what has finished."""
    return _sorted(_read_table(folder, "rounds", may_miss=True))


def read_finished(folder: Path, name: str, config: Mapping[str, Any], rounds: pa.Table) -> pa.Table:
    """Another table, without what belongs to rounds that have not finished."""
    may_miss = not rounds.num_rows or _may_miss(name, config)
    table = _whole_rounds(_read_table(folder, name, may_miss), rounds)
    return _sorted(table) if name == "clients" else table


def stream_finished(folder: Path, name: str, config: Mapping[str, Any], rounds: pa.Table) -> Iterator[pa.Table]:
    """The same rows in pieces, in the order of the file: as many at once as a row group has."""
    with _opened(folder, name, not rounds.num_rows or _may_miss(name, config)) as files:
        for path, file in files.items():
            for piece in _pieces(path, file, name):
                yield _whole_rounds(piece, rounds)


def _may_miss(name: str, config: Mapping[str, Any]) -> bool:
    """Whether a run may lack a table."""
    return name in (*OPTIONAL_TABLES, *YOUNGER_TABLES) or (
        name == "chunks" and config.get("record_chunks") in (False, "summary")
    )


def read_json(file: Path) -> dict[str, Any]:
    """A JSON object at the top of a run's folder. Raises RecordsError where it is none, or is damaged."""
    check(file.parent, file)
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RecordsError(f"{file}: cannot be read as JSON ({error}); restore it, or repeat the run") from error
    if not isinstance(value, dict):
        raise RecordsError(f"{file}: expected a JSON object, got {type(value).__name__}; restore it, or repeat the run")
    return value


def _whole_rounds(table: pa.Table, rounds: pa.Table) -> pa.Table:
    """The rows of rounds that have finished; the table itself, not a copy, where that is all of them."""
    if "round" not in table.column_names:
        return table
    whole = pc.is_in(table["round"], rounds["round"])
    return table if pc.all(whole).as_py() is not False else table.filter(whole)


def _sorted(table: pa.Table) -> pa.Table:
    keys = [(name, "ascending") for name in ("round", "client") if name in table.column_names]
    return table.sort_by(keys)


def _read_table(folder: Path, name: str, may_miss: bool) -> pa.Table:
    """A whole table."""
    with _opened(folder, name, may_miss) as files:
        pieces = [piece for path, file in files.items() for piece in _pieces(path, file, name)]
    return pa.concat_tables(pieces or [SCHEMAS[name].empty_table()])


@contextmanager
def _opened(folder: Path, name: str, may_miss: bool) -> Iterator[Mapping[Path, pq.ParquetFile]]:
    """The files of a table, open, in the order of their rounds; a whole table is compared with the manifest first."""
    with ExitStack() as stack:
        for _ in range(_TRIES):
            files: dict[Path, pq.ParquetFile] = {}
            try:
                paths = _files(folder, name, may_miss)
                for path in paths:
                    check(folder, path)
                    files[path] = stack.enter_context(_open(path))
                now = _files(folder, name, may_miss)
                current = now[: len(paths)] == paths and bool(paths) == bool(now)  # rounds may have come behind them
            except FileNotFoundError:
                current = False
            if current:
                break
            stack.close()
        else:
            raise RecordsError(f"{folder / 'tables' / name}: changes while it is read; read it when the run has ended")
        yield files


def _open(path: Path) -> pq.ParquetFile:
    """``ParquetFile`` and not ``read_table``: the latter makes columns of folders called ``key=value``."""
    try:
        return pq.ParquetFile(path, page_checksum_verification=True)
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, error) from error


def _files(folder: Path, name: str, may_miss: bool) -> list[Path]:
    """The file of a table, or the part files that a run leaves until it has ended.

    Raises FileNotFoundError where the part files went while they were looked for.
    """
    place = folder / "tables" / f"{name}.parquet"
    if not place.exists():  # a file system without links, or a crash while the parts became a file
        place = folder / "tables" / f"{name}.parts"
    if not place.exists():
        if may_miss:
            return []
        raise RecordsError(f"{folder / 'tables' / f'{name}.parquet'}: there is no such table; restore it")
    if place.is_file():
        return [place]
    parts = [part.path for part in parts_of(place)]
    if not place.is_dir():
        raise FileNotFoundError(place)
    return parts


def _pieces(path: Path, file: pq.ParquetFile, name: str) -> Iterator[pa.Table]:
    """The row groups of one Parquet file in the schema of table ``name``, or its schema's columns without a row."""
    try:
        groups = file.num_row_groups
        for group in range(groups):
            yield _in_schema(file.read_row_group(group), name, path)
        if not groups:
            yield _in_schema(pa.Table.from_batches([], file.schema_arrow), name, path)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> RecordsError:
    return RecordsError(f"{path}: cannot be read as Parquet ({error}); it is damaged: restore it, or repeat the run")


def _in_schema(table: pa.Table, name: str, file: Path) -> pa.Table:
    """``table`` with exactly the schema's columns; a nullable column that it lacks is younger than it, and null."""
    version = (table.schema.metadata or {}).get(b"fedchunk_schema_version", SCHEMA_VERSION.encode()).decode()
    if version != SCHEMA_VERSION:
        raise RecordsError(
            f"{file}: has schema version {version}, expected {SCHEMA_VERSION}; read it with the fedchunk that wrote it"
        )
    columns = []
    for field in SCHEMAS[name]:
        if field.name in table.column_names:
            got = table.schema.field(field.name).type
            if got != field.type:
                raise _wrong_column(file, field, f"type {got}")
            columns.append(table[field.name])
        elif field.nullable:
            columns.append(pa.nulls(table.num_rows, field.type))
        else:
            raise _wrong_column(file, field, "no such column")
    try:
        return checked(name, pa.Table.from_arrays(columns, schema=SCHEMAS[name]))
    except ValueError as error:
        raise RecordsError(f"{file}: {error}; the file was not written by fedchunk: restore it") from error


def _wrong_column(file: Path, field: pa.Field, got: str) -> RecordsError:
    return RecordsError(
        f"{file}: column {field.name!r}: got {got}, expected type {field.type}; "
        "the file was not written by this version of fedchunk"
    )
