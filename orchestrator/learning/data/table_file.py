"""Tables in files, CSV, Parquet or what ``datasets`` saved, and their columns: each fault with file, column and row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fedchunk.orchestrator.core.errors import DataError
from fedchunk.orchestrator.learning.data.places import near, some
from fedchunk.orchestrator.learning.data.saved_dataset import saved_names, saved_table

CSV = (".csv", ".csv.gz", ".csv.bz2", ".csv.zst", ".tsv", ".tsv.gz")
PARQUET = (".parquet", ".pq")
ONE_THREAD = pv.ReadOptions(use_threads=False)
"""Slower, but it knows the row of an error."""


@dataclass(frozen=True)
class Column:
    """A column of a file."""

    file: Path
    name: str
    values: pa.Array

    def at(self, row: int) -> str:
        """A place for a message; rows count from 1, and the line of names is none."""
        return f"{self.file}: row {row + 1:,}, column {self.name!r}"

    def wrong(self, row: int, message: str) -> DataError:
        """An error about one value."""
        return DataError(f"{self.at(row)}: {message}")

    def refused(self, message: str) -> DataError:
        """An error about all of it."""
        return DataError(f"{self.file}: column {self.name!r}: {message}")

    def whole(self) -> NDArray[Any]:
        """Whole numbers or text, none missing, as an array. Raises DataError for anything else."""
        plain = self.present()
        if pa.types.is_string(plain.type) or pa.types.is_large_string(plain.type):
            return np.asarray(plain.to_pylist(), dtype=np.str_)
        if pa.types.is_integer(plain.type):
            return np.asarray(plain.to_numpy(zero_copy_only=False))
        raise self.refused(f"has values of type {plain.type}, such as {plain[0]}; whole numbers or text are wanted")

    def present(self) -> pa.Array:
        """The values, plain and none of them missing. Raises DataError of the first that is not there."""
        values = self.values
        if pa.types.is_dictionary(values.type):
            values = values.dictionary_decode()
        if pa.types.is_string_view(values.type):
            values = values.cast(pa.large_string())
        if values.null_count:
            first = int(np.asarray(pc.is_null(values)).argmax())
            raise self.wrong(first, "a value is missing; fill it in, or remove the row")
        if pa.types.is_binary(values.type) or pa.types.is_large_binary(values.type):
            raise self._not_text(values)
        return values

    def _not_text(self, values: pa.Array) -> DataError:
        """Of bytes: pyarrow reads text as such where it is no UTF-8."""
        for row, value in enumerate(values):
            try:
                value.as_py().decode("utf-8")
            except UnicodeDecodeError as error:
                return self.wrong(row, f"the byte 0x{error.object[error.start]:02x} is not UTF-8; save it as UTF-8")
        return self.refused("holds bytes; numbers or text are wanted")


@dataclass(frozen=True)
class Table:
    """A file with its columns."""

    file: Path
    data: pa.Table

    def __len__(self) -> int:
        return int(self.data.num_rows)

    def column(self, name: str, option: str) -> Column:
        """A column by its name. Raises DataError where there is none; ``option`` is who asks for it."""
        check_names(self.file, self.data.column_names, [name], option)
        values = self.data.column(name).combine_chunks()
        return Column(self.file, name, values if isinstance(values, pa.Array) else pa.concat_arrays(values.chunks))


def check_names(file: Path, there: Sequence[str], wanted: Sequence[str], option: str) -> None:
    """Raises DataError where a file lacks one of these columns."""
    for name in wanted:
        if name not in there:
            raise DataError(f"{file}: there is no column {name!r}{near(name, there)} ({option}); it has {some(there)}")


def column_names(file: Path) -> tuple[str, ...]:
    """The columns of a file. Raises DataError as :func:`read_table`."""
    if file.is_dir():
        return saved_names(file)
    try:
        if _is_csv(file):
            with pv.open_csv(file, read_options=ONE_THREAD, parse_options=_parsing(file)) as opened:
                names = opened.schema.names
        else:
            names = pq.read_schema(file).names
    except (pa.ArrowException, OSError, UnicodeDecodeError) as failure:
        raise _unreadable(file, failure) from failure
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"{file}: has the column {twice!r} twice; name each once")
    return tuple(names)


def read_table(file: Path, columns: Sequence[str] | None = None) -> Table:
    """A CSV (``.csv``, ``.tsv``, perhaps compressed) or Parquet file, or a folder that ``datasets`` saved.

    Empty fields and NA of a CSV are missing values; text in quotes is text.

    Args:
        file: it.
        columns: those that are read; None: all. They must be there.

    Raises:
        DataError: the file cannot be read, a row has another number of fields, or there is no row.
    """
    check_names(file, column_names(file), columns or (), "asked for")
    if file.is_dir():
        saved = saved_table(file)
        return Table(file, saved if columns is None else saved.select(list(columns)))
    try:
        data = _read_csv(file, columns) if _is_csv(file) else pq.read_table(file, columns=columns, partitioning=None)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as failure:
        raise _unreadable(file, failure) from failure
    if not data.num_rows:
        raise DataError(f"{file}: has no row")
    return Table(file, data)


def _read_csv(file: Path, columns: Sequence[str] | None) -> pa.Table:
    converting = pv.ConvertOptions(
        strings_can_be_null=True, quoted_strings_can_be_null=False, include_columns=list(columns or ())
    )
    try:
        return pv.read_csv(file, parse_options=_parsing(file), convert_options=converting)
    except pa.ArrowInvalid:
        return pv.read_csv(file, read_options=ONE_THREAD, parse_options=_parsing(file), convert_options=converting)


def _parsing(file: Path) -> pv.ParseOptions:
    return pv.ParseOptions(delimiter="\t" if ".tsv" in file.name.lower() else ",", newlines_in_values=True)


def _is_csv(file: Path) -> bool:
    name = file.name.lower()
    if name.endswith(CSV):
        return True
    if name.endswith(PARQUET):
        return False
    raise DataError(f"{file}: is no table that can be read; names end in {', '.join((*CSV, *PARQUET))}")


def _unreadable(file: Path, failure: Exception) -> DataError:
    if isinstance(failure, UnicodeDecodeError):
        return DataError(f"{file}: the names of the columns are not UTF-8 ({failure}); save the file as UTF-8")
    return DataError(f"{file}: cannot be read as {'CSV' if _is_csv(file) else 'Parquet'}: {failure}")
