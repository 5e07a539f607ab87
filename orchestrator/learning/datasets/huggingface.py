"""A data set that Hugging Face's datasets saved on disk: pictures, arrays, columns or text of its Arrow files."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.core.errors import DataError
from fedchunk.orchestrator.learning.data.dataset import Dataset
from fedchunk.orchestrator.learning.data.kept_file import CACHE
from fedchunk.orchestrator.learning.data.labels import Labels
from fedchunk.orchestrator.learning.data.pictures import Decoder
from fedchunk.orchestrator.learning.data.places import below, wrong_option
from fedchunk.orchestrator.learning.data.saved_dataset import existing_dataset, split_folders
from fedchunk.orchestrator.learning.data.saved_samples import (
    Part,
    array_samples,
    label_names,
    picture_samples,
    sample_kind,
)
from fedchunk.orchestrator.learning.data.split import one_test_set
from fedchunk.orchestrator.learning.data.table_features import check_categorical, features
from fedchunk.orchestrator.learning.data.table_file import check_names, column_names
from fedchunk.orchestrator.learning.data.table_rows import Rows, TableSource, named_columns
from fedchunk.orchestrator.learning.data.table_text import client_rows, text_alone, text_samples
from fedchunk.orchestrator.learning.data.token_streams import Cut, next_tokens
from fedchunk.orchestrator.learning.data.tokens import TokenizerInForce
from fedchunk.orchestrator.settings.option_types import (
    Channels,
    ColumnOrColumns,
    Columns,
    Count,
    CountOrNone,
    TestShare,
    WhenTooShort,
)


def huggingface(
    data_dir: Path,
    folder: str,
    task_targets: str,
    tokenizer: TokenizerInForce,
    target_column: ColumnOrColumns | None = None,
    feature_columns: Columns | None = None,
    categorical_columns: Columns | None = None,
    text_column: str | None = None,
    client_column: str | None = None,
    num_classes: Count | None = None,
    train_split: str | None = None,
    test_split: str | None = None,
    test_share: TestShare | None = None,
    test_seed: CountOrNone = 0,
    test_column: str | None = None,
    length: Count = 64,
    too_short: WhenTooShort = "refuse",
    size: Count | None = None,
    channels: Channels | None = None,
    cache_dir: str = CACHE,
) -> Dataset:
    """Samples as the features say: one column of pictures (S, c, h, w), or of arrays (S, ...); else columns (S, k).

    Rows keep their order.

    Args:
        data_dir: where ``folder`` counts from.
        folder: what save_to_disk wrote, of a Dataset or a DatasetDict.
        task_targets: what the task takes. Tokens are those of ``text_column``.
        tokenizer: makes tokens of text.
        target_column: labels, numbers or flags, as of ``table``.
        feature_columns: one of pictures or of lists, which are samples by themselves; or columns as of ``table``. None:
            all that are nothing else.
        categorical_columns: those whose values are categories though they are numbers.
        text_column: the samples are its tokens: of a language model those of all that a client has, one behind another;
            of other tasks those of a row.
        client_column: whose each row is: whole numbers or text.
        num_classes: how many labels there are; None: as many as have names, or as the largest says.
        train_split: of a DatasetDict; None: train.
        test_split: likewise; None: test, where there is one.
        test_share: of each label, where samples have one; None: a fifth, where nothing else says what is tested. Of a
            language model's text the last part of each client, a tenth.
        test_seed: fixes which rows that are.
        test_column: says of each row whether it is tested.
        length: tokens of a sample. Of other tasks the first of a longer text, and -1 behind a shorter one.
        too_short: what becomes of clients who have not one sample of tokens to train on.
        size: side in pixels that pictures are stretched to; None: what they all have.
        channels: 1 or 3; None: what they all have.
        cache_dir: where decoded pictures, and arrays of one piece, are kept.
    """
    source = _source(
        data_dir, folder, task_targets, target_column, text_column, client_column, num_classes, train_split, test_split,
        test_share, test_seed, test_column,
    )  # fmt: skip
    if text_column is not None:
        text_alone(feature_columns=feature_columns, categorical_columns=categorical_columns)
    if task_targets == "tokens":
        assert text_column is not None, "was asked for"
        return _language(source, text_column, tokenizer, Cut(length, too_short, test_share))
    train_x: NDArray[Any]
    test_x: NDArray[Any]
    if text_column is not None:
        rows = source.rows(source.feature_names([text_column], "text_column"))
        train_y, test_y, number = rows.targets
        train_x, test_x = text_samples(rows, text_column, tokenizer, length)
        return Dataset(train_x, train_y, test_x, test_y, number, rows.clients)
    names = source.feature_names(feature_columns)
    check_categorical(categorical_columns or (), names)
    kind = sample_kind(source.path, names)
    rows = source.rows(names if kind == "columns" else ())
    train_y, test_y, number = rows.targets
    if kind == "columns":
        train_x, test_x = features(rows, names, categorical_columns or ())
    elif kind == "pictures":
        train_x, test_x = picture_samples(_parts(rows, names[0]), Decoder(size, channels), below(Path(), cache_dir))
    else:
        train_x, test_x = array_samples(_parts(rows, names[0]), below(Path(), cache_dir))
    return Dataset(train_x, train_y, test_x, test_y, number, rows.clients)


def labels(
    data_dir: Path,
    folder: str,
    task_targets: str = "labels",
    target_column: str | list[str] | None = None,
    feature_columns: list[str] | None = None,
    text_column: str | None = None,
    client_column: str | None = None,
    num_classes: int | None = None,
    train_split: str | None = None,
    test_split: str | None = None,
    test_share: float | None = None,
    test_seed: int = 0,
    test_column: str | None = None,
) -> Labels | None:
    """What the columns say that are no features; of those, that they are there. None where the targets are tokens."""
    source = _source(
        data_dir, folder, task_targets, target_column, text_column, client_column, num_classes, train_split, test_split,
        test_share, test_seed, test_column,
    )  # fmt: skip
    if task_targets == "tokens":
        assert text_column is not None
        source.feature_names([text_column], "text_column")
        return None
    if text_column is None:
        sample_kind(source.path, source.feature_names(feature_columns))
    else:
        source.feature_names([text_column], "text_column")
    rows = source.rows()
    train_y, _, number = rows.targets
    return Labels(train_y, number or 0, rows.clients)


def _source(
    data_dir: Path, folder: str, task_targets: str, target_column: str | list[str] | None, text_column: str | None,
    client_column: str | None, num_classes: int | None, train_split: str | None, test_split: str | None,
    test_share: float | None, test_seed: int, test_column: str | None,
) -> TableSource:  # fmt: skip
    """The rows that the options name. Raises ConfigError where these contradict each other."""
    if task_targets == "tokens":
        if target_column is not None:
            raise wrong_option(
                f"target_column: got {target_column!r}, but the next tokens are the targets; leave it out"
            )
        if text_column is None:
            raise wrong_option("text_column: is missing; it names the text whose tokens are learned")
    elif target_column is None:
        raise wrong_option("target_column: is missing; it names what is to be learned")
    train, test = split_folders(data_dir, folder, train_split, test_split)
    if test is not None:
        one_test_set(f"the split {Path(test).name}", test_share)
        if test_column is not None:
            raise wrong_option(f"test_column: the split {Path(test).name} is the test set; leave test_column out")
    targets = named_columns(target_column or ())
    if num_classes is None and task_targets == "labels":
        num_classes = label_names(existing_dataset(data_dir, train, "folder"), targets[0])
    return TableSource(
        data_dir, train, targets, task_targets, client_column, test_share, test_seed, test, test_column, num_classes,
        existing_dataset,
    )  # fmt: skip


def _language(source: TableSource, text_column: str, tokenizer: TokenizerInForce, cut: Cut) -> Dataset:
    client = source.client_column
    rows = source.rows(source.feature_names([text_column, *([client] if client else [])], "text_column"))
    texts = partial(client_rows, text_column=text_column, client_column=client)
    if rows.tested is not None:
        return next_tokens(texts(rows.table), texts(rows.tested), tokenizer, cut, source.path)
    if source.test_column is not None:
        trained, tested = texts(rows.table, wanted=~rows.is_test), texts(rows.table, wanted=rows.is_test)
        return next_tokens(trained, tested, tokenizer, cut, source.path)
    return next_tokens(texts(rows.table), None, tokenizer, cut, source.path)


def _parts(rows: Rows, name: str) -> tuple[Part, Part]:
    """The training and the test samples of a column. Raises DataError where the test set has another kind of it."""
    train, tested = rows.table.file, rows.tested
    if tested is None:
        places = np.flatnonzero(~rows.is_test), np.flatnonzero(rows.is_test)
        return Part(train, name, places[0]), Part(train, name, places[1])
    check_names(tested.file, column_names(tested.file), [name], f"which {train.name} has")
    kinds = [sample_kind(folder, [name]) for folder in (train, tested.file)]
    if kinds[0] != kinds[1]:
        raise DataError(f"{tested.file}: column {name!r} holds other samples than in {train.name}; both must be alike")
    return Part(train, name, np.arange(len(rows.table))), Part(tested.file, name, np.arange(len(tested)))
