"""Rows of a CSV or Parquet file; numbers are standardised, text becomes a value for each category."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from fedchunk.orchestrator.learning.data.dataset import Dataset
from fedchunk.orchestrator.learning.data.labels import Labels
from fedchunk.orchestrator.learning.data.table_features import check_categorical, features, images
from fedchunk.orchestrator.learning.data.table_rows import TableSource, named_columns
from fedchunk.orchestrator.learning.data.table_text import text_alone, text_samples
from fedchunk.orchestrator.learning.data.tokens import TokenizerInForce
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
    tokenizer: TokenizerInForce,
    feature_columns: Columns | None = None,
    categorical_columns: Columns | None = None,
    text_column: str | None = None,
    length: Count = 64,
    client_column: str | None = None,
    pixels: ImageShape | None = None,
    num_classes: Count | None = None,
    test_share: TestShare | None = None,
    test_seed: CountOrNone = 0,
    test_file: str | None = None,
    test_column: str | None = None,
) -> Dataset:
    """Samples (S, k) in float32, images (S, c, h, w) in uint8, or tokens (S, T) in int64; rows keep their order.

    Args:
        data_dir: where files count from.
        file: a row for each sample.
        target_column: whole numbers from 0; or text, whose classes are in the order of their names. With another task
            numbers as they are, or 0 and 1, of one column or of several.
        task_targets: what the task takes.
        tokenizer: makes tokens of text.
        feature_columns: numbers, text, or lists of numbers; None: all that are nothing else.
        categorical_columns: those whose values are categories though they are numbers.
        text_column: the samples are its tokens, and there are no features.
        length: T, tokens of a sample: of longer texts the first, behind shorter ones -1.
        client_column: whose each row is: whole numbers or text.
        pixels: channels, height and width: the features are whole numbers 0 to 255, the pixels of an image.
        num_classes: how many labels there are; None: as many as the largest says, or as there are texts.
        test_share: of each label, where samples have one; None: a fifth, where neither of the last two is given.
        test_seed: fixes which rows that are.
        test_file: a file with the test rows.
        test_column: says of each row whether it is tested: train or test, 0 or 1, false or true.
    """
    source = TableSource(
        data_dir, file, named_columns(target_column), task_targets, client_column, test_share, test_seed, test_file,
        test_column, num_classes,
    )  # fmt: skip
    if text_column is None:
        names = source.feature_names(feature_columns)
        check_categorical(categorical_columns or (), names)
    else:
        text_alone(feature_columns=feature_columns, categorical_columns=categorical_columns, pixels=pixels)
        names = source.feature_names([text_column], "text_column")
    rows = source.rows(names)
    train_y, test_y, number = rows.targets
    train_x: NDArray[Any]
    test_x: NDArray[Any]
    if text_column is not None:
        train_x, test_x = text_samples(rows, text_column, tokenizer, length)
    elif pixels is None:
        train_x, test_x = features(rows, names, categorical_columns or ())
    else:
        train_x, test_x = images(rows, names, pixels)
    return Dataset(train_x, train_y, test_x, test_y, number, rows.clients)


def labels(
    data_dir: Path,
    file: str,
    target_column: str | list[str],
    task_targets: str = "labels",
    feature_columns: list[str] | None = None,
    text_column: str | None = None,
    client_column: str | None = None,
    num_classes: int | None = None,
    test_share: float | None = None,
    test_seed: int = 0,
    test_file: str | None = None,
    test_column: str | None = None,
) -> Labels:
    """What the columns say that are no features; of those, that they are there."""
    source = TableSource(
        data_dir, file, named_columns(target_column), task_targets, client_column, test_share, test_seed, test_file,
        test_column, num_classes,
    )  # fmt: skip
    if text_column is None:
        source.feature_names(feature_columns)
    else:
        source.feature_names([text_column], "text_column")
    rows = source.rows()
    train_y, _, number = rows.targets
    return Labels(train_y, number or 0, rows.clients)
