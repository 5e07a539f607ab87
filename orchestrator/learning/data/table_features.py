"""Features of rows as samples: numbers that are standardised, a value for each category, or pixels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.core.errors import DataError
from fedchunk.orchestrator.learning.data.places import near, some, wrong_option
from fedchunk.orchestrator.learning.data.table_columns import Numbers, Words, check_categories, encoded, readable
from fedchunk.orchestrator.learning.data.table_columns import pixels as pixels_of
from fedchunk.orchestrator.learning.data.table_rows import Rows


def check_categorical(categorical: Sequence[str], names: Sequence[str]) -> None:
    """Raises ConfigError where a column of ``categorical_columns`` is none of the features."""
    for name in categorical:
        if name not in names:
            raise wrong_option(
                f"categorical_columns: {name!r} is none of the features{near(name, names)}: {some(names)}"
            )


def features(
    rows: Rows, names: Sequence[str], categorical: Sequence[str]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Training and test rows as numbers, (S, k): standardised, or one value for each category.

    Args:
        rows: read with these columns.
        names: of the features.
        categorical: those whose values are categories though they are numbers.
    """
    parts = [_feature(rows, name, categorical=name in categorical) for name in names]
    train_x, test_x = (np.concatenate(part, axis=1) for part in zip(*parts, strict=True))
    return train_x, test_x


def _feature(rows: Rows, name: str, *, categorical: bool) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    column, other = rows.columns(name)
    everything = readable(column, categorical=categorical)
    if other is None:
        train, test = _some(everything, ~rows.is_test), _some(everything, rows.is_test)
    else:
        train, test = everything, readable(other, categorical=categorical)
        widths = [part.values_SK.shape[1] if isinstance(part, Numbers) else None for part in (train, test)]
        if widths[0] != widths[1]:
            raise DataError(
                f"{other.file}: column {name!r} has {_kind(test)}, in {column.file} it has {_kind(train)}; "
                "both must be alike"
            )
    if isinstance(train, Words):
        check_categories(column, train)
    return encoded(train, test)


def _some(values: Numbers | Words, wanted: NDArray[np.bool_]) -> Numbers | Words:
    return Numbers(values.values_SK[wanted]) if isinstance(values, Numbers) else Words(values.values.filter(wanted))


def _kind(values: Numbers | Words) -> str:
    if isinstance(values, Words):
        return "text"
    width = values.values_SK.shape[1]
    return "numbers" if width == 1 else f"lists of {width} numbers"


def images(rows: Rows, names: Sequence[str], shape: Sequence[int]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Training and test rows as images, (S, c, h, w) in uint8: the features are their pixels."""
    tables: tuple[list[NDArray[np.uint8]], list[NDArray[np.uint8]]] = ([], [])
    for name in names:
        column, other = rows.columns(name)
        tables[0].append(pixels_of(column))
        if other is not None:
            tables[1].append(pixels_of(other))
    everything = _shaped(rows.table.file, tables[0], shape)
    if rows.tested is not None:
        return everything, _shaped(rows.tested.file, tables[1], shape)
    return everything[~rows.is_test], everything[rows.is_test]


def _shaped(file: Path, columns: Sequence[NDArray[np.uint8]], shape: Sequence[int]) -> NDArray[np.uint8]:
    flat = np.concatenate(columns, axis=1)
    if flat.shape[1] != np.prod(shape):
        raise DataError(
            f"{file}: a row has {flat.shape[1]:,} pixels, but images of {list(shape)} have {np.prod(shape):,}"
        )
    return flat.reshape(len(flat), *shape)
