"""Columns of a table as numbers: standardised, or one value for each category, by what the training rows hold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fedchunk.orchestrator.learning.data.table_file import Column

MOST_CATEGORIES = 1000
"""Beyond, text is a name or an identifier, and one value for each would fill the memory."""

NUMBER = r"^\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*$"
MOSTLY = 0.5
"""A text column of which this share are numbers is one of numbers with faults in it."""


@dataclass(frozen=True)
class Numbers:
    """A column of numbers, or of lists of them."""

    values_SK: NDArray[np.float64]


@dataclass(frozen=True)
class Words:
    """A column of categories."""

    values: pa.Array


def readable(column: Column, *, categorical: bool) -> Numbers | Words:
    """A column that was checked.

    Args:
        column: of a file.
        categorical: whether its values are categories though they may be numbers.

    Raises:
        DataError: a value is missing, not finite or no number; or the type is of no use.
    """
    values = column.present()
    if categorical:
        return Words(_as_text(column, values))
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        _refuse_numbers_as_text(column, values)
        return Words(values)
    if pa.types.is_list(values.type) or pa.types.is_large_list(values.type) or pa.types.is_fixed_size_list(values.type):
        return Numbers(_of_lists(column, values))
    return Numbers(_finite(column, values)[:, np.newaxis])


def encoded(train: Numbers | Words, test: Numbers | Words) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Both parts of a column as float32, (S, k): k numbers, or k categories.

    Numbers are standardised: x becomes (x - mean) / deviation of the training rows (the deviation of the population;
    1 where nothing varies). Categories are in the order of their names; one that no training row has is 0 everywhere.
    """
    if isinstance(train, Numbers):
        assert isinstance(test, Numbers)
        mean_K, std_K = train.values_SK.mean(axis=0), train.values_SK.std(axis=0)
        std_K[std_K == 0] = 1
        first, second = ((part.values_SK - mean_K) / std_K for part in (train, test))
        return first.astype(np.float32), second.astype(np.float32)
    assert isinstance(test, Words)
    categories = pc.unique(train.values).sort()
    return _one_hot(train.values, categories), _one_hot(test.values, categories)


def check_categories(column: Column, train: Words) -> None:
    """Raises DataError where there are more categories than a model should be given."""
    found = len(pc.unique(train.values))
    if found > MOST_CATEGORIES:
        limit = f"more than {MOST_CATEGORIES:,}"
        raise column.refused(f"has {found:,} different texts, {limit}; leave it out of feature_columns")


def pixels(column: Column) -> NDArray[np.uint8]:
    """A column of whole numbers 0 to 255, or of lists of them, (S, k). Raises DataError of the first other value."""
    read = readable(column, categorical=False)
    if isinstance(read, Words):
        raise column.wrong(0, f"got the text {read.values[0].as_py()!r}; pixels are whole numbers from 0 to 255")
    wrong_SK = (read.values_SK < 0) | (read.values_SK > 255) | (read.values_SK != np.floor(read.values_SK))
    if wrong_SK.any():
        row, place = np.argwhere(wrong_SK)[0]
        raise column.wrong(int(row), f"got {read.values_SK[row, place]:g}; pixels are whole numbers from 0 to 255")
    return read.values_SK.astype(np.uint8)


def _finite(column: Column, values: pa.Array, each: int = 1) -> NDArray[np.float64]:
    """Values as numbers; ``each`` says how many a row has."""
    if pa.types.is_boolean(values.type):
        values = values.cast(pa.uint8())
    if not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type) or pa.types.is_decimal(values.type)):
        wanted = "numbers or text are wanted; leave it out of feature_columns"
        raise column.refused(f"has values of type {values.type}, such as {values[0]}; {wanted}")
    numbers = np.asarray(values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False))
    with np.errstate(over="ignore"):
        wrong = ~np.isfinite(numbers.astype(np.float32))
    if wrong.any():
        first = int(wrong.argmax())
        raise column.wrong(first // each, f"got {numbers[first]}; numbers are finite, also as float32")
    return numbers


def _of_lists(column: Column, values: pa.Array) -> NDArray[np.float64]:
    lengths = np.asarray(pc.list_value_length(values))
    if (lengths != lengths[0]).any() or not lengths[0]:
        row = int((lengths != lengths[0]).argmax())
        raise column.wrong(row, f"holds {lengths[row]} values, row 1 {lengths[0]}; all lists are of one length above 0")
    inner = values.flatten()
    if inner.null_count:
        first = int(np.asarray(pc.is_null(inner)).argmax())
        raise column.wrong(first // int(lengths[0]), "a value is missing in its list")
    return _finite(column, inner, int(lengths[0])).reshape(len(values), -1)


def _refuse_numbers_as_text(column: Column, values: pa.Array) -> None:
    is_number = np.asarray(pc.match_substring_regex(values, NUMBER))
    if is_number.mean() < MOSTLY:
        return
    remedy = "or name the column in categorical_columns if they are categories"
    if is_number.all():
        raise column.refused(f"holds numbers as text, such as {values[0].as_py()!r}; store numbers, {remedy}")
    first = int((~is_number).argmax())
    raise column.wrong(first, f"got {values[first].as_py()!r} where most values are numbers; correct it, {remedy}")


def _as_text(column: Column, values: pa.Array) -> pa.Array:
    try:
        return values.cast(pa.string())
    except pa.ArrowException:
        raise column.refused(f"has values of type {values.type}, which are no categories") from None


def _one_hot(values: pa.Array, categories: pa.Array) -> NDArray[np.float32]:
    places = np.asarray(pc.index_in(values, value_set=categories).fill_null(-1))
    return np.asarray(places[:, np.newaxis] == np.arange(len(categories)), dtype=np.float32)
