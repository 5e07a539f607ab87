"""Rows of a CSV or Parquet file; numbers are standardised, text becomes a value for each category."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.core.errors import DataError
from fedchunk.orchestrator.learning.data.dataset import Dataset
from fedchunk.orchestrator.learning.data.labels import Labels
from fedchunk.orchestrator.learning.data.places import near, some, wrong_option
from fedchunk.orchestrator.learning.data.table_columns import Numbers, Words, check_categories, encoded, readable
from fedchunk.orchestrator.learning.data.table_columns import pixels as pixels_of
from fedchunk.orchestrator.learning.data.table_rows import Rows, TableSource
from fedchunk.orchestrator.settings.option_types import (
    ColumnOrColumns,
    Columns,
    Count,
    CountOrNone,
    ImageShape,
    TestShare,
)


def table(
    data_dir: Path,
    file: str,
    target_column: ColumnOrColumns,
    task_targets: str,
    feature_columns: Columns | None = None,
    categorical_columns: Columns | None = None,
    client_column: str | None = None,
    pixels: ImageShape | None = None,
    num_classes: Count | None = None,
    test_share: TestShare | None = None,
    test_seed: CountOrNone = 0,
    test_file: str | None = None,
    test_column: str | None = None,
) -> Dataset:
    """Samples (S, k) in float32, or images (S, c, h, w) in uint8; rows keep their order.

    Args:
        data_dir: where files count from.
        file: a row for each sample.
        target_column: whole numbers from 0; or text, whose classes are in the order of their names. With another task
            numbers as they are, or 0 and 1, of one column or of several.
        task_targets: what the task takes.
        feature_columns: numbers, text, or lists of numbers; None: all that are nothing else.
        categorical_columns: those whose values are categories though they are numbers.
        client_column: whose each row is: whole numbers or text.
        pixels: channels, height and width: the features are whole numbers 0 to 255, the pixels of an image.
        num_classes: how many labels there are; None: as many as the largest says, or as there are texts.
        test_share: of each label, where samples have one; None: a fifth, where neither of the last two is given.
        test_seed: fixes which rows that are.
        test_file: a file with the test rows.
        test_column: says of each row whether it is tested: train or test, 0 or 1, false or true.
    """
    source = TableSource(
        data_dir, file, _named(target_column), task_targets, client_column, test_share, test_seed, test_file,
        test_column, num_classes,
    )  # fmt: skip
    names = source.feature_names(feature_columns)
    for name in categorical_columns or ():
        if name not in names:
            raise wrong_option(
                f"categorical_columns: {name!r} is none of the features{near(name, names)}: {some(names)}"
            )
    rows = source.rows(names)
    train_y, test_y, number = rows.targets
    if pixels is None:
        train_x, test_x = _features(rows, names, categorical_columns or ())
    else:
        train_x, test_x = _images(rows, names, pixels)
    return Dataset(train_x, train_y, test_x, test_y, number, rows.clients)


def labels(
    data_dir: Path,
    file: str,
    target_column: str | list[str],
    task_targets: str = "labels",
    feature_columns: list[str] | None = None,
    client_column: str | None = None,
    num_classes: int | None = None,
    test_share: float | None = None,
    test_seed: int = 0,
    test_file: str | None = None,
    test_column: str | None = None,
) -> Labels:
    """What the columns say that are no features; of those, that they are there."""
    source = TableSource(
        data_dir, file, _named(target_column), task_targets, client_column, test_share, test_seed, test_file,
        test_column, num_classes,
    )  # fmt: skip
    source.feature_names(feature_columns)
    rows = source.rows()
    train_y, _, number = rows.targets
    return Labels(train_y, number or 0, rows.clients)


def _named(target_column: str | list[str]) -> tuple[str, ...]:
    return (target_column,) if isinstance(target_column, str) else tuple(target_column)


def _features(
    rows: Rows, names: Sequence[str], categorical: Sequence[str]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
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


def _images(rows: Rows, names: Sequence[str], shape: Sequence[int]) -> tuple[NDArray[Any], NDArray[Any]]:
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
