"""Small arrays inside the pickle of what they belong to.

Arrays lie beside a pickle, each in a buffer of its own, so that whoever reads it need not copy them. Ray takes some two
microseconds for each such buffer whenever an object is read, which for a small one is more than its copy takes.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

MOST_BYTES = 1 << 15
"""Bytes of an array that is small."""


@dataclass(frozen=True)
class SmallArraysInside:
    """A dataclass whose own small arrays are part of its pickle. They arrive read-only, as from Ray all do."""

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), tuple(_inside(getattr(self, field.name)) for field in fields(self))

    def __copy__(self) -> Self:
        return replace(self)  # ``copy`` would make it of what is meant for a pickle


class _Inside:
    """An array whose values are in the pickle."""

    def __init__(self, array: NDArray[Any]) -> None:
        self._array = array

    def __reduce__(self) -> tuple[Any, ...]:
        return _read_only, (self._array.shape, self._array.dtype.str, self._array.tobytes())


def _inside(value: Any) -> Any:
    return _Inside(value) if isinstance(value, np.ndarray) and value.nbytes <= MOST_BYTES else value


def _read_only(shape: tuple[int, ...], kind: str, values: bytes) -> NDArray[Any]:
    return np.ndarray(shape, kind, values)
