"""Reads a run's folder: settings, summary and tables, checked against the schemas.

A run in progress, or one that was killed, is read up to its last finished round: until a run ends, each table is a
folder of part files (``orchestrator/recording/table_files.py`` says how), and only the rounds that ``rounds`` names
are whole.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from fedchunk.analysis.recorded import RecordedClient, recorded_clients
from fedchunk.orchestrator.core.errors import RecordsError
from fedchunk.orchestrator.core.records import OPTIONAL_TABLES, SCHEMA_VERSION, SCHEMAS, checked


@dataclass(frozen=True, eq=False)
class Run:
    """A recorded run. Everything in it is read-only."""

    path: Path
    config: Mapping[str, Any]
    """The resolved settings by their flat names."""
    summary: Mapping[str, Any]
    """How the run ended; its status is ``running`` until then, and for ever if the run was killed."""
    tables: Mapping[str, pa.Table]
    """The tables by name, in the schemas of :mod:`fedchunk.orchestrator.core.records`: all, unless fewer were read."""

    @property
    def status(self) -> str:
        """``finished``, ``failed`` or ``interrupted``; ``running`` where the run never said how it ended."""
        return str(self.summary.get("status", "running"))

    @property
    def num_chunks(self) -> int:
        """C, from the layout."""
        return int(self.tables["layout"].num_rows)

    @property
    def num_rounds(self) -> int:
        """R, the finished rounds."""
        return int(self.tables["rounds"].num_rows)

    @cached_property
    def clients(self) -> tuple[RecordedClient, ...]:
        """Every client that took part, ascending. Raises RecordsError where the tables do not fit each other."""
        return recorded_clients(self.tables, self.num_chunks, self.path)

    def __str__(self) -> str:
        return f"run {self.path}: {self.status}, {self.num_rounds} rounds, {self.num_chunks} chunks"


def load_run(path: str | Path, tables: Collection[str] = tuple(SCHEMAS)) -> Run:
    """The run that is recorded in the folder ``path``.

    Args:
        path: the run's folder.
        tables: the tables to read beside ``rounds``; ``chunks`` may be as large as all others together. One that
            was not recorded is empty.

    Raises:
        RecordsError: there is no such folder, it is not a run's, or a file in it cannot be read or has other columns
            than its schema. The message names the file and what to do.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise RecordsError(f"{folder}: there is no such folder; give the folder that `fedchunk run` named at its end")
    if not (folder / "config.json").is_file() or not (folder / "tables").is_dir():
        raise RecordsError(
            f"{folder}: this is not a run's folder, because it has no config.json or no tables/; "
            "give the folder that `fedchunk run` named at its end"
        )
    config = _read_json(folder / "config.json")
    summary = _read_json(folder / "summary.json") if (folder / "summary.json").exists() else {}
    rounds = _sorted(_read_table(folder, "rounds", may_miss=True))
    read = {"rounds": rounds}
    for name in SCHEMAS:
        if name in tables and name != "rounds":
            not_recorded = name in OPTIONAL_TABLES or (name == "chunks" and config.get("record_chunks") is False)
            may_miss = not rounds.num_rows or not_recorded
            table = _whole_rounds(_read_table(folder, name, may_miss), rounds)
            read[name] = _sorted(table) if name == "clients" else table
    return Run(folder, MappingProxyType(config), MappingProxyType(summary), MappingProxyType(read))


def _whole_rounds(table: pa.Table, rounds: pa.Table) -> pa.Table:
    """The rows of rounds that have finished; the table itself, not a copy, where that is all of them."""
    if "round" not in table.column_names:
        return table
    whole = pc.is_in(table["round"], rounds["round"])
    return table if pc.all(whole).as_py() is not False else table.filter(whole)


def _sorted(table: pa.Table) -> pa.Table:
    keys = [(name, "ascending") for name in ("round", "client") if name in table.column_names]
    return table.sort_by(keys)


def _read_json(file: Path) -> dict[str, Any]:
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RecordsError(f"{file}: cannot be read as JSON ({error}); restore it, or repeat the run") from error
    if not isinstance(value, dict):
        raise RecordsError(f"{file}: expected a JSON object, got {type(value).__name__}; restore it, or repeat the run")
    return value


def _read_table(folder: Path, name: str, may_miss: bool) -> pa.Table:
    """A table from its file, or from the part files that a run leaves until it has ended."""
    place = folder / "tables" / f"{name}.parquet"
    if not place.exists():  # a file system without links, or a crash while the parts became a file
        place = folder / "tables" / f"{name}.parts"
    if not place.exists():
        if may_miss:
            return SCHEMAS[name].empty_table()
        raise RecordsError(f"{folder / 'tables' / f'{name}.parquet'}: there is no such table; restore it")
    if place.is_file():
        return _read_parquet(place, name)
    parts = sorted(part for part in place.iterdir() if part.is_file() and not part.name.startswith("."))
    return pa.concat_tables([_read_parquet(part, name) for part in parts] or [SCHEMAS[name].empty_table()])


def _read_parquet(file: Path, name: str) -> pa.Table:
    """One Parquet file in the schema of table ``name``.

    ``ParquetFile`` and not ``read_table``: the latter makes columns of folders called ``key=value``.
    """
    try:
        with pq.ParquetFile(file) as parquet:
            table = parquet.read()
    except (pa.ArrowException, OSError) as error:
        raise RecordsError(
            f"{file}: cannot be read as Parquet ({error}); it is damaged: restore it, or repeat the run"
        ) from error
    return _in_schema(table, name, file)


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
