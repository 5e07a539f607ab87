"""Columns of Arrow files that are samples by themselves: pictures and arrays, written once in the order of the samples
and mapped from then on, because Arrow keeps the values of a column in pieces with others between them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fedchunk.orchestrator.core.errors import DataError
from fedchunk.orchestrator.learning.data.kept_file import kept_array, write_header
from fedchunk.orchestrator.learning.data.pictures import FORMAT, Decoder, Embedded, Picture, kept_pictures
from fedchunk.orchestrator.learning.data.places import wrong_option
from fedchunk.orchestrator.learning.data.saved_dataset import data_files, saved_features, saved_schema, saved_table

SampleKind = Literal["pictures", "arrays", "columns"]


def sample_kind(folder: Path, names: Sequence[str]) -> SampleKind:
    """What samples of these columns are: one column of pictures, or of lists, is samples by itself.

    Raises ConfigError where pictures are one feature of several.
    """
    features, schema = saved_features(folder), saved_schema(folder)
    pictures = [name for name in names if features.get(name, {}).get("_type") == "Image"]
    if pictures and len(names) > 1:
        others = ", ".join(name for name in names if name != pictures[0])
        raise wrong_option(
            f"feature_columns: {pictures[0]!r} holds pictures, which are samples by themselves, beside {others}; "
            f"give feature_columns: [{pictures[0]}]"
        )
    if pictures:
        return "pictures"
    return "arrays" if len(names) == 1 and _is_list(_plain(schema.field(names[0]).type)) else "columns"


@dataclass(frozen=True)
class Part:
    """Some rows of a column."""

    folder: Path
    name: str
    rows_S: NDArray[np.int64]
    """Which, in the order of the samples."""

    @cached_property
    def values(self) -> pa.ChunkedArray:
        """All of the column, mapped."""
        return saved_table(self.folder).column(self.name)

    def at(self, row: int) -> str:
        """A place for a message; rows count from 1."""
        return f"{self.folder}: row {row + 1:,}, column {self.name!r}"

    @property
    def state(self) -> bytes:
        """Changes when the files do, or which rows these are."""
        files = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in data_files(self.folder)]
        return f"{self.folder.absolute()}\0{self.name}\0{files}\0".encode() + self.rows_S.tobytes()


def picture_samples(parts: Sequence[Part], decoder: Decoder, cache: Path) -> list[NDArray[np.uint8]]:
    """The pictures of each part, (S, c, h, w), mapped. Raises DataError as :func:`decoded_pictures`."""
    place, key = _names(parts, f"{FORMAT}{decoder}")
    return _apart(kept_pictures(_Pictures(parts), place, key, decoder, cache), parts)


def array_samples(parts: Sequence[Part], cache: Path) -> list[NDArray[Any]]:
    """The arrays of each part, (S, ...), mapped: bytes of three axes as they are, other whole numbers in int64, numbers
    in float32.

    Raises:
        DataError: of the first value that is missing, no finite number, or of another shape than the first.
    """
    place, key = _names(parts, "arrays")
    kept = kept_array(cache, f"arrays-{place}", key, "arrays of one piece", lambda path: _write_arrays(path, parts))
    return _apart(kept, parts)


def _names(parts: Sequence[Part], how: str) -> tuple[str, str]:
    where = "\0".join([how, *(f"{part.folder.absolute()}\0{part.name}" for part in parts)])
    what = b"\0".join([how.encode(), *(part.state for part in parts)])
    place = hashlib.blake2b(os.fsencode(where), digest_size=8)
    return place.hexdigest(), hashlib.blake2b(what, digest_size=16).hexdigest()


def _apart(everything: NDArray[Any], parts: Sequence[Part]) -> list[NDArray[Any]]:
    ends = np.cumsum([0, *(len(part.rows_S) for part in parts)])
    return [everything[start:stop] for start, stop in pairwise(ends.tolist())]


class _Pictures(Sequence[Picture]):
    """The pictures of all parts; each is looked up when it is asked for."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = parts
        self._ends = np.cumsum([len(part.rows_S) for part in parts])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, place: Any) -> Any:
        if not 0 <= place < len(self):
            raise IndexError(place)
        number = int(np.searchsorted(self._ends, place, side="right"))
        part = self._parts[number]
        row = int(part.rows_S[place - self._ends[number]])  # from behind, as the last of a part is -1
        stored = part.values[row]
        content = stored["bytes"] if stored.is_valid else None
        if content is None or not content.is_valid:
            raise DataError(f"{part.at(row)}: a picture is missing; fill it in, or remove the row")
        return Embedded(part.at(row), memoryview(content.as_buffer()))


def _write_arrays(path: Path, parts: Sequence[Part]) -> None:
    shape: tuple[int, ...] | None = None
    with path.open("wb") as target:
        for part in parts:
            for rows in _blocks(part):
                if shape is None:
                    shape, dtype = rows.shape[1:], rows.dtype
                    write_header(target, dtype, (sum(len(one.rows_S) for one in parts), *shape))
                if rows.shape[1:] != shape:
                    raise DataError(
                        f"{part.folder}: column {part.name!r} has arrays of shape {rows.shape[1:]}, and before of "
                        f"{shape}; all must be alike"
                    )
                if rows.dtype != dtype:
                    raise DataError(
                        f"{part.folder}: column {part.name!r} is of type {rows.dtype}, and before of {dtype}; both "
                        "must be alike"
                    )
                target.write(np.ascontiguousarray(rows).data)


def _blocks(part: Part) -> Iterator[NDArray[Any]]:
    """The rows of a part, by pieces as the files have them; ``rows_S`` ascend."""
    start = 0
    for chunk in part.values.chunks:
        stop = start + len(chunk)
        first, last = np.searchsorted(part.rows_S, [start, stop])
        if first < last:
            yield _numbers(part, chunk, start)[part.rows_S[first:last] - start]
        start = stop


def _numbers(part: Part, chunk: pa.Array, start: int) -> NDArray[Any]:
    """A piece of a column as one array, (n, ...)."""
    values, shape = _storage(chunk), [len(chunk)]
    while True:
        each = int(np.prod(shape[1:]))
        if values.null_count:
            row = start + int(np.asarray(pc.is_null(values)).argmax()) // each
            raise DataError(f"{part.at(row)}: a value is missing; fill it in, or remove the row")
        if not _is_list(values.type):
            break
        lengths = np.asarray(pc.list_value_length(values))
        if (lengths != lengths[0]).any() or not lengths[0]:
            wrong = int((lengths != lengths[0]).argmax())
            raise DataError(
                f"{part.at(start + wrong // each)}: holds {lengths[wrong]} values where row {start + 1} holds "
                f"{lengths[0]}; all lists are of one length above 0"
            )
        shape.append(int(lengths[0]))
        values = values.flatten()
    kind = values.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        raise DataError(f"{part.folder}: column {part.name!r}: has lists of {kind}; lists of numbers are wanted")
    numbers = np.asarray(values.to_numpy(zero_copy_only=False))
    if pa.types.is_integer(kind):
        is_image = numbers.dtype == np.uint8 and len(shape) == 4
        return numbers.reshape(shape) if is_image else numbers.astype(np.int64, copy=False).reshape(shape)
    with np.errstate(over="ignore"):
        floats = numbers.astype(np.float32, copy=False)
    if not np.isfinite(floats).all():
        wrong = int((~np.isfinite(floats)).argmax())
        row = start + wrong // int(np.prod(shape[1:]))
        raise DataError(f"{part.at(row)}: got {numbers[wrong]}; numbers are finite, also as float32")
    return floats.reshape(shape)


def _storage(chunk: pa.Array) -> pa.Array:
    """What an array of a kind of one's own is made of: ``datasets``, once imported, makes such ones of Array2D."""
    return chunk.storage if isinstance(chunk, pa.ExtensionArray) else chunk


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.storage_type if isinstance(kind, pa.ExtensionType) else kind


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def label_names(folder: Path, column: str) -> int | None:
    """How many labels a column has by name; None where ``datasets`` knows none of it."""
    named: Mapping[str, Any] = saved_features(folder).get(column, {})
    return len(named["names"]) if named.get("_type") == "ClassLabel" and named.get("names") else None
