"""How a flat vector is cut: C balanced contiguous ranges that cover each of P values exactly once."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Place = slice | NDArray[np.bool_]

SHORT_CHUNK = 256
"""Values of a chunk below which picking values by a mask is faster than slicing, chunk by chunk."""


@dataclass(frozen=True)
class Layout:
    """The cut of ``num_parameters`` values into ``num_chunks`` ranges ``floor(c*P/C) .. floor((c+1)*P/C)``.

    Sizes differ by at most one, so no chunk wins a norm by being long. Raises ValueError unless 1 <= C <= P.

    Example:
        >>> Layout(10, 4).bounds.tolist()
        [0, 2, 5, 7, 10]
    """

    num_parameters: int
    num_chunks: int

    def __post_init__(self) -> None:
        if not 1 <= self.num_chunks <= self.num_parameters:
            raise ValueError(
                f"cannot cut {self.num_parameters} parameters into {self.num_chunks} chunks: "
                f"chunking_parts must be between 1 and {self.num_parameters}"
            )

    @cached_property
    def bounds(self) -> NDArray[np.int64]:
        """C + 1 borders; chunk c covers ``bounds[c] .. bounds[c + 1]``."""
        borders = np.arange(self.num_chunks + 1, dtype=np.int64) * self.num_parameters // self.num_chunks
        borders.setflags(write=False)
        return borders

    @cached_property
    def sizes_C(self) -> NDArray[np.int64]:
        """Values in each chunk."""
        return np.diff(self.bounds)

    @cached_property
    def fingerprint(self) -> bytes:
        """Eight bytes that both ends of a message compare: another cut is another fingerprint."""
        text = f"balanced {self.num_parameters} {self.num_chunks}"
        return hashlib.blake2b(text.encode(), digest_size=8).digest()

    def num_values(self, mask_C: NDArray[np.bool_]) -> int:
        """Values in the chunks of ``mask_C``."""
        return int(np.add.reduce(self.sizes_C[mask_C]))

    def chunk_runs(self, mask_C: NDArray[np.bool_]) -> list[tuple[int, int]]:
        """The chunks of ``mask_C`` as few ranges of chunks: neighbours are joined."""
        framed = np.zeros(self.num_chunks + 2, np.bool_)
        framed[1:-1] = mask_C
        edges = np.flatnonzero(framed[1:] != framed[:-1]).tolist()
        return list(zip(edges[::2], edges[1::2], strict=True))

    def chunk_blocks(self, mask_C: NDArray[np.bool_], values: int) -> list[tuple[int, int]]:
        """As :meth:`chunk_runs`, cut into ranges of about ``values`` values each (one chunk at least)."""
        step = max(1, values * self.num_chunks // self.num_parameters)
        return [
            (begin, min(begin + step, last))
            for first, last in self.chunk_runs(mask_C)
            for begin in range(first, last, step)
        ]

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

        A slice for each run of chunks; where chunks are so short that a step of Python costs more than its values, one
        mask of values, (P,).
        """
        if self.num_parameters < SHORT_CHUNK * self.num_chunks:
            return [(np.repeat(mask_C, self.sizes_C), self.num_values(mask_C))]
        return [(slice(start, stop), stop - start) for start, stop in self.runs(mask_C)]

    def cut(self, vector_P: NDArray[np.float32], mask_C: NDArray[np.bool_], out: NDArray[np.float32]) -> None:
        """Copies the chunks of ``mask_C``, one behind the other, into ``out`` (``num_values(mask_C)`` values)."""
        position = 0
        for place, count in self.places(mask_C):
            out[position : position + count] = vector_P[place]
            position += count

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
