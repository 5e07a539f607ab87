"""How a flat vector is cut: C contiguous ranges that cover each of P values exactly once."""

from __future__ import annotations

import hashlib
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.chunking.tensor_pieces import cut_evenly, pieces_of

Place = slice | NDArray[np.bool_] | NDArray[np.int64]

SHORT_CHUNK = 256
"""Values of a chunk below which picking values by a mask is faster than slicing, chunk by chunk."""

FEW = 10
"""Of so many values one is picked at most, so that their places are less to go through than a mask of all."""


MOST_LATELY = 1 << 15
"""Chunks, in all masks together, of which it is remembered where they lie."""
MOST_PLACES = 1 << 22
"""The same for values, where chunks are short."""

_T = TypeVar("_T")


class _Lately(Generic[_T]):
    """What was worked out for some masks: what is cut is soon added, and clients of a round have much in common."""

    def __init__(self, most: int) -> None:
        """``most`` masks are remembered, two at least."""
        self._known: dict[bytes, _T] = {}
        self._most = max(2, most)

    def of(self, mask: bytes, work_out: Callable[[], _T]) -> _T:
        """What is known of a mask; nobody may change it."""
        found = self._known.get(mask)
        if found is None:
            if len(self._known) >= self._most:
                self._known.clear()
            found = self._known[mask] = work_out()
        return found


@dataclass(frozen=True)
class Layout:
    """The cut of ``num_parameters`` values into ``num_chunks`` ranges.

    Without ``tensor_bounds`` they are ``floor(c*P/C) .. floor((c+1)*P/C)``: sizes differ by at most one, so no chunk
    wins a norm by being long. With them (0, the borders between tensors, P) no range holds values of two tensors, each
    tensor is cut in the same way, and :func:`pieces_of` says into how many. Raises ValueError unless 1 <= C <= P.

    Example:
        >>> Layout(10, 4).bounds.tolist()
        [0, 2, 5, 7, 10]
        >>> Layout(10, 4, (0, 7, 8, 10)).bounds.tolist()
        [0, 3, 7, 8, 10]
    """

    num_parameters: int
    num_chunks: int
    tensor_bounds: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= self.num_chunks <= self.num_parameters:
            raise ValueError(
                f"cannot cut {self.num_parameters} parameters into {self.num_chunks} chunks: "
                f"chunking_parts must be between 1 and {self.num_parameters}"
            )

    @classmethod
    def at_tensors(cls, parameter_bounds: NDArray[np.int64], parts: int) -> Layout:
        """The cut at tensors' borders into ``parts`` chunks, or into one for each tensor where there are more of them.

        Args:
            parameter_bounds: where the T tensors begin and end, T + 1 numbers from 0 to P.
            parts: the number of chunks that is wanted.

        Raises:
            ValueError: there are fewer values than that.

        Example:
            >>> Layout.at_tensors(np.array([0, 7, 8, 10]), 1).bounds.tolist()
            [0, 7, 8, 10]
        """
        borders = np.unique(parameter_bounds).tolist()  # a tensor without values has no chunk
        return cls(borders[-1], max(parts, len(borders) - 1), tuple(borders))

    @cached_property
    def bounds(self) -> NDArray[np.int64]:
        """C + 1 borders; chunk c covers ``bounds[c] .. bounds[c + 1]``."""
        if self.tensor_bounds:
            ends_T = np.array(self.tensor_bounds, np.int64)
            sizes_T = ends_T[1:] - ends_T[:-1]
            borders = cut_evenly(sizes_T, pieces_of(sizes_T, self.num_chunks))
        else:
            borders = np.arange(self.num_chunks + 1, dtype=np.int64) * self.num_parameters // self.num_chunks
        borders.setflags(write=False)
        return borders

    @cached_property
    def sizes_C(self) -> NDArray[np.int64]:
        """Values in each chunk."""
        return np.diff(self.bounds)

    @cached_property
    def shortness_C(self) -> NDArray[np.float64]:
        """``sqrt(mean size / size)`` of each chunk."""
        shortness_C: NDArray[np.float64] = np.sqrt(self.sizes_C.mean() / self.sizes_C)
        return shortness_C

    @cached_property
    def shortest(self) -> int:
        """Values of the shortest chunk."""
        return int(self.sizes_C.min())

    @cached_property
    def longest(self) -> int:
        """Values of the longest chunk."""
        return int(self.sizes_C.max())

    @cached_property
    def fingerprint(self) -> bytes:
        """Eight bytes that both ends of a message compare: another cut is another fingerprint."""
        text = f"balanced {self.num_parameters} {self.num_chunks}"
        if self.tensor_bounds:
            text = f"tensors {self.num_chunks} {self.tensor_bounds}"
        return hashlib.blake2b(text.encode(), digest_size=8).digest()

    def num_values(self, mask_C: NDArray[np.bool_]) -> int:
        """Values in the chunks of ``mask_C``."""
        return int(np.add.reduce(self.sizes_C[mask_C]))

    def chunk_runs(self, mask_C: NDArray[np.bool_]) -> list[tuple[int, int]]:
        """The chunks of ``mask_C`` as few ranges of chunks: neighbours are joined."""
        if np.count_nonzero(mask_C) == self.num_chunks:  # full exchange
            return [(0, self.num_chunks)]
        return self._runs.of(mask_C.tobytes(), lambda: _runs_of(mask_C))

    @cached_property
    def _runs(self) -> _Lately[list[tuple[int, int]]]:
        return _Lately(MOST_LATELY // self.num_chunks)

    def chunk_blocks(self, mask_C: NDArray[np.bool_], values: int) -> list[tuple[int, int]]:
        """As :meth:`chunk_runs`, cut into ranges of at most ``values`` values each (one chunk at least)."""
        borders, blocks = self._borders, []
        for first, last in self.chunk_runs(mask_C):
            while first < last:
                stop = min(last, max(first + 1, bisect_right(borders, borders[first] + values) - 1))
                blocks.append((first, stop))
                first = stop
        return blocks

    def chunks_within(self, start: int, stop: int) -> tuple[slice, list[int]]:
        """The chunks that have values in ``start .. stop``, and where in there they begin and end.

        Example:
            >>> Layout(10, 4).chunks_within(1, 7)
            (slice(0, 3, None), [0, 1, 4, 6])
        """
        borders = self._borders
        first, last = bisect_right(borders, start) - 1, bisect_left(borders, stop)
        inside = (min(max(border, start), stop) - start for border in borders[first : last + 1])
        return slice(first, last), list(inside)

    def runs(self, mask_C: NDArray[np.bool_]) -> list[tuple[int, int]]:
        """The chunks of ``mask_C`` as few value ranges: neighbours are joined, so that copies are long."""
        bounds = self._borders
        return [(bounds[first], bounds[last]) for first, last in self.chunk_runs(mask_C)]

    @cached_property
    def _borders(self) -> list[int]:
        """``bounds`` as plain numbers, which slice faster."""
        borders: list[int] = self.bounds.tolist()
        return borders

    def places(self, mask_C: NDArray[np.bool_]) -> list[tuple[Place, int]]:
        """Indices of a vector that pick the values of ``mask_C`` in order, and how many values each picks.

        A slice for each run of chunks; where chunks are so short that a step of Python costs more than its values, the
        places of all, ascending, or if they are not few one mask of values, (P,).
        """
        return self._places.of(mask_C.tobytes(), lambda: self._places_of(mask_C))

    @cached_property
    def _places(self) -> _Lately[list[tuple[Place, int]]]:
        return _Lately(MOST_PLACES // self.num_parameters if self._is_short else MOST_LATELY // self.num_chunks)

    @cached_property
    def _is_short(self) -> bool:
        return self.num_parameters < SHORT_CHUNK * self.num_chunks

    def _places_of(self, mask_C: NDArray[np.bool_]) -> list[tuple[Place, int]]:
        if not self._is_short:
            edges = self.bounds[_edges_of(mask_C)].tolist()
            return [(slice(start, stop), stop - start) for start, stop in zip(edges[::2], edges[1::2], strict=True)]
        count = self.num_values(mask_C)
        few = 0 < FEW * count <= self.num_parameters
        values = ranges(self.bounds[:-1][mask_C], self.sizes_C[mask_C]) if few else np.repeat(mask_C, self.sizes_C)
        values.setflags(write=False)
        return [(values, count)]

    def places_among(self, mask_C: NDArray[np.bool_], kept_C: NDArray[np.bool_]) -> list[tuple[Place, Place]]:
        """As :meth:`places`, each with where it lies in what :meth:`cut` made of ``kept_C``, which has all of
        ``mask_C``.

        Raises:
            ValueError: it has not.

        Example:
            >>> kept, some = np.array([True, False, True, True]), np.array([False, False, True, True])
            >>> Layout(1024, 4).places_among(some, kept)
            [(slice(512, 1024, None), slice(256, 768, None))]
        """
        if (mask_C > kept_C).any():
            raise ValueError("chunks that were not kept")
        if self._is_short:
            among = np.repeat(mask_C[kept_C], self.sizes_C[kept_C])
            return [(place, among) for place, _ in self.places(mask_C)]
        starts = self._starts_among.of(kept_C.tobytes(), lambda: _starts_among(kept_C, self.sizes_C))
        firsts = (first for first, _ in self.chunk_runs(mask_C))
        return [
            (place, slice(starts[first], starts[first] + size))
            for first, (place, size) in zip(firsts, self.places(mask_C), strict=True)
        ]

    @cached_property
    def _starts_among(self) -> _Lately[list[int]]:
        return _Lately(MOST_LATELY // self.num_chunks)

    def cut(self, vector_P: NDArray[np.float32], mask_C: NDArray[np.bool_], out: NDArray[np.float32]) -> None:
        """Copies the chunks of ``mask_C``, one behind the other, into ``out`` (``num_values(mask_C)`` values)."""
        position = 0
        for place, count in self.places(mask_C):
            out[position : position + count] = vector_P[place]
            position += count

    def cut_rows(self, vectors_GP: NDArray[np.float32], mask_C: NDArray[np.bool_]) -> NDArray[np.float32]:
        """The chunks of ``mask_C`` of each row, one behind the other: (G, ``num_values(mask_C)``)."""
        parts = [vectors_GP[:, place] for place, _ in self.places(mask_C)]
        return np.concatenate(parts, axis=1) if parts else vectors_GP[:, :0].copy()

    def paste(self, values: NDArray[np.float32], mask_C: NDArray[np.bool_], out_P: NDArray[np.float32]) -> None:
        """Undoes :meth:`cut`: puts ``values`` back in their places of ``out_P``; other places stay."""
        position = 0
        for place, count in self.places(mask_C):
            out_P[place] = values[position : position + count]
            position += count

    def add(
        self, values: NDArray[np.floating[Any]], mask_C: NDArray[np.bool_], out_P: NDArray[np.floating[Any]]
    ) -> None:
        """Adds ``values``, one chunk of ``mask_C`` behind the other, to their places of ``out_P``."""
        position = 0
        for place, count in self.places(mask_C):
            out_P[place] += values[position : position + count]
            position += count

    def sums_C(self, values_P: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sum of ``values_P`` in each chunk, in float64."""
        return np.add.reduceat(values_P, self.bounds[:-1], dtype=np.float64)


def _edges_of(mask_C: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The chunks that runs begin with, and those behind their last ones, in turn."""
    framed = np.zeros(len(mask_C) + 2, np.bool_)
    framed[1:-1] = mask_C
    return np.flatnonzero(framed[1:] != framed[:-1])


def _runs_of(mask_C: NDArray[np.bool_]) -> list[tuple[int, int]]:
    edges = _edges_of(mask_C).tolist()
    return list(zip(edges[::2], edges[1::2], strict=True))


def _starts_among(kept_C: NDArray[np.bool_], sizes_C: NDArray[np.int64]) -> list[int]:
    """Where each chunk begins that was kept, among those that were."""
    starts: list[int] = (np.cumsum(np.where(kept_C, sizes_C, 0)) - sizes_C).tolist()
    return starts


def ranges(starts_K: NDArray[np.int64], sizes_K: NDArray[np.int64]) -> NDArray[np.int64]:
    """The indices ``start .. start + size`` of all ranges, one behind the other; K > 0.

    Example:
        >>> ranges(np.array([5, 0]), np.array([2, 3])).tolist()
        [5, 6, 0, 1, 2]
    """
    ends = np.cumsum(sizes_K)
    indices: NDArray[np.int64] = np.arange(ends[-1]) + np.repeat(starts_K - (ends - sizes_K), sizes_K)
    return indices
