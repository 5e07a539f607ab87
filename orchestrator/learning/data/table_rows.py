"""Which rows of tables train and which test, with their labels and clients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fedchunk.orchestrator.core.errors import DataError
from fedchunk.orchestrator.learning.data.labels import check_number, whole_labels
from fedchunk.orchestrator.learning.data.places import existing_file, some, wrong_option
from fedchunk.orchestrator.learning.data.split import drawn_test, drawn_test_of_all
from fedchunk.orchestrator.learning.data.table_file import Column, Table, check_names, column_names, read_table
from fedchunk.orchestrator.learning.data.table_targets import target_numbers

PANDAS_INDEX = "__index_level_"
"""How pandas calls the index that it writes into a Parquet file. It is no feature unless somebody says so."""

TEST_WORDS = {"test": True, "train": False, "1": True, "0": False, "true": True, "false": False}


@dataclass(frozen=True)
class TableSource:
    """The files and columns that options name."""

    data_dir: Path
    file: str
    target_columns: tuple[str, ...]
    task_targets: str
    """What the task takes, see :attr:`TaskFacts.data_targets`."""
    client_column: str | None
    test_share: float | None
    test_seed: int
    test_file: str | None
    test_column: str | None
    num_classes: int | None
    find: Callable[[Path, str, str], Path] = existing_file
    """Where what an option names is, from ``data_dir``; the last is the option."""

    def __post_init__(self) -> None:
        """Raises ConfigError where more than one test set is named, or the task takes other targets."""
        given = [name for name in ("test_share", "test_file", "test_column") if getattr(self, name) is not None]
        if len(given) > 1:
            raise wrong_option(f"got {' and '.join(given)}; allowed: one of them, which says what is tested")
        if self.task_targets == "tokens" and self.target_columns:
            message = (
                "got a table with a task of tokens, which columns do not hold; allowed here: text, arrays, huggingface"
            )
            raise wrong_option(message, "dataset_type")
        if self.task_targets == "labels" and len(self.target_columns) > 1:
            named = some(self.target_columns)
            raise wrong_option(f"target_column: got {named}, but the task takes one label for each sample; name one")
        if len(set(self.target_columns)) < len(self.target_columns):
            raise wrong_option(f"target_column: got {some(self.target_columns)}; name each column once")

    def feature_names(self, wanted: Sequence[str] | None, option: str = "feature_columns") -> tuple[str, ...]:
        """The columns that are features; None: all that are nothing else. ``option`` names them."""
        there = column_names(self.path)
        used = [*self.target_columns, self.client_column, self.test_column]
        check_names(self.path, there, [name for name in used if name is not None], "see dataset_options")
        if wanted is None:
            names = tuple(name for name in there if name not in used and not name.startswith(PANDAS_INDEX))
            if not names:
                raise DataError(f"{self.path}: has no column that could be a feature; it has {some(there)}")
            return names
        check_names(self.path, there, wanted, option)
        for name in self.target_columns:
            if name in wanted:
                raise wrong_option(f"{option}: {name!r} is the target_column, which is to be learned")
        return tuple(dict.fromkeys(wanted))

    def rows(self, features: Sequence[str] = ()) -> Rows:
        """The rows with these features, read once. Raises DataError as :func:`read_table`."""
        of_all = [*features, *self.target_columns]
        of_train = [name for name in (self.client_column, self.test_column) if name is not None]
        table = read_table(self.path, list(dict.fromkeys([*of_all, *of_train])))
        tested = None
        if self.test_file is not None:
            path = self.find(self.data_dir, self.test_file, "test_file")
            check_names(path, column_names(path), of_all, f"which {self.path.name} has")
            tested = read_table(path, list(dict.fromkeys(of_all)))
        return Rows(self, table, tested)

    @cached_property
    def path(self) -> Path:
        """The file of the training rows. Raises DataError where there is none."""
        return self.find(self.data_dir, self.file, "file")


@dataclass(frozen=True)
class Rows:
    """Tables that were read, and how they fall apart into training and test rows."""

    source: TableSource
    table: Table
    tested: Table | None
    """None: the test rows are in the same file."""

    @cached_property
    def targets(self) -> tuple[NDArray[Any], NDArray[Any], int | None]:
        """Of the training and of the test rows: labels, and how many there are; or numbers."""
        if self.source.task_targets == "labels":
            return self.labels
        everything = self._numbers_of(self.table)
        if self.tested is None:
            return everything[~self.is_test], everything[self.is_test], self.source.num_classes
        tested = self._numbers_of(self.tested)
        if tested.shape[1:] != everything.shape[1:]:
            raise DataError(
                f"{self.tested.file}: has targets of shape {tested.shape[1:]}, {self.table.file.name} of "
                f"{everything.shape[1:]}; both must be alike"
            )
        return everything, tested, self.source.num_classes

    def _numbers_of(self, table: Table) -> NDArray[np.float64]:
        columns = [table.column(name, "target_column") for name in self.source.target_columns]
        return target_numbers(columns, flags=self.source.task_targets == "flags")

    @cached_property
    def labels(self) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
        """Labels of the training and of the test rows, and how many there are."""
        target = self.table.column(self.source.target_columns[0], "target_column")
        if _is_text(target.present()):
            return self._of_words(target)
        numbers = _numbers(target, self.source.num_classes)
        if self.tested is None:
            train_y, test_y = numbers[~self.is_test], numbers[self.is_test]
        else:
            other = self.tested.column(self.source.target_columns[0], "target_column")
            train_y, test_y = numbers, _numbers(other, self.source.num_classes)
        needed = int(max(train_y.max(), test_y.max())) + 1
        return train_y, test_y, check_number(self.source.num_classes, needed, self.table.file)

    def _of_words(self, target: Column) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
        """Classes are the texts of the training rows, in their order."""
        words = target.whole()
        classes = np.unique(words if self.tested is not None else words[~self.is_test])
        train, test = _numbered(target, words, classes), None
        if self.tested is not None:
            other = self.tested.column(self.source.target_columns[0], "target_column")
            test = _numbered(other, other.whole(), classes)
        number = check_number(self.source.num_classes, len(classes), self.table.file)
        return (train[~self.is_test], train[self.is_test], number) if test is None else (train, test, number)

    @cached_property
    def is_test(self) -> NDArray[np.bool_]:
        """Which rows of the file are tested."""
        if self.tested is not None:
            return np.zeros(len(self.table), bool)
        if self.source.test_column is not None:
            return self._marked(self.table.column(self.source.test_column, "test_column"))
        share, seed = self.source.test_share, self.source.test_seed
        if self.source.task_targets != "labels":
            return drawn_test_of_all(len(self.table), share, seed, self.table.file)
        labels = self.table.column(self.source.target_columns[0], "target_column")
        values = labels.whole() if _is_text(labels.present()) else _numbers(labels, self.source.num_classes)
        codes = np.unique(values, return_inverse=True)[1].astype(np.int64)
        return drawn_test(codes, share, seed, self.table.file)

    def _marked(self, column: Column) -> NDArray[np.bool_]:
        present = column.present()
        values = present.cast(pa.int8()) if pa.types.is_boolean(present.type) else present
        words = Column(column.file, column.name, values).whole()
        marks = np.empty(len(words), bool)
        for row, word in enumerate(words):
            known = TEST_WORDS.get(str(word).strip().lower())
            if known is None:
                raise column.wrong(row, f"got {word!s:.40}; allowed: train and test, 0 and 1, or false and true")
            marks[row] = known
        if marks.all() or not marks.any():
            raise column.refused(f"says {'test' if marks.all() else 'train'} of all rows; both are needed")
        return marks

    @property
    def clients(self) -> NDArray[Any] | None:
        """Whose each training row is, where a column says it."""
        if self.source.client_column is None:
            return None
        return self.table.column(self.source.client_column, "client_column").whole()[~self.is_test]

    def columns(self, name: str) -> tuple[Column, Column | None]:
        """A feature of the file, and of the file of the test rows, if there is one."""
        other = self.tested.column(name, "feature_columns") if self.tested is not None else None
        return self.table.column(name, "feature_columns"), other


def named_columns(target_column: str | Sequence[str]) -> tuple[str, ...]:
    """The option ``target_column``, which is one name or some."""
    return (target_column,) if isinstance(target_column, str) else tuple(target_column)


def _is_text(values: pa.Array) -> bool:
    return bool(pa.types.is_string(values.type) or pa.types.is_large_string(values.type))


def _numbers(target: Column, num_classes: int | None) -> NDArray[np.int64]:
    values = target.present()
    if not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type) or pa.types.is_boolean(values.type)):
        raise target.refused(f"has values of type {values.type}, such as {values[0]}; labels are whole numbers or text")
    return whole_labels(values.to_numpy(zero_copy_only=False), target.at, num_classes)


def _numbered(target: Column, words: NDArray[Any], classes: NDArray[Any]) -> NDArray[np.int64]:
    places = np.searchsorted(classes, words).clip(max=len(classes) - 1)
    if (unknown := classes[places] != words).any():
        row = int(unknown.argmax())
        raise target.wrong(row, f"got {str(words[row])!r}, which no training row has; they have {some(list(classes))}")
    return places.astype(np.int64)
