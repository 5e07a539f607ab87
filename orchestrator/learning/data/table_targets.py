"""Columns of a table as targets that are no labels: numbers, or 0 and 1, as they are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fedchunk.orchestrator.learning.data.table_columns import NUMBER, Numbers, readable
from fedchunk.orchestrator.learning.data.table_file import Column


def target_numbers(columns: Sequence[Column], *, flags: bool) -> NDArray[np.float64]:
    """Targets of each row: (S,) of one column of numbers, else (S, d), column by column; flags are always (S, L).

    Args:
        columns: of numbers, of true and false, or of lists of them; at least one.
        flags: whether only 0 and 1 are allowed.

    Raises:
        DataError: of the first value that is missing, not finite, no number or no flag.
    """
    parts = [_column(column, flags=flags) for column in columns]
    if len(parts) == 1 and parts[0].shape[1] == 1 and not flags and not _is_list(columns[0].present().type):
        return parts[0][:, 0]
    return np.concatenate(parts, axis=1)


def _column(column: Column, *, flags: bool) -> NDArray[np.float64]:
    values = column.present()
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        is_number = np.asarray(pc.match_substring_regex(values, NUMBER))
        if is_number.all():
            raise column.refused(
                f"holds numbers as text, such as {values[0].as_py()!r}; targets of this task are numbers"
            )
        row = int((~is_number).argmax())
        raise column.wrong(row, f"got {values[row].as_py()!r}; targets of this task are numbers")
    kinds = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_decimal)
    if not (_is_list(values.type) or any(is_kind(values.type) for is_kind in kinds)):
        found = f"has values of type {values.type}, such as {values[0]}"
        raise column.refused(f"{found}; targets of this task are numbers")
    read = readable(column, categorical=False)
    assert isinstance(read, Numbers), "text was refused"
    if flags and (wrong_SK := (read.values_SK != 0) & (read.values_SK != 1)).any():
        row, place = np.argwhere(wrong_SK)[0]
        raise column.wrong(int(row), f"got {read.values_SK[row, place]:g}; each is 0 or 1")
    return read.values_SK


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))
