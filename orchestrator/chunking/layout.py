"""How a flat vector is cut: C balanced contiguous ranges that cover each of P values exactly once."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray


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
        return int(self.sizes_C[mask_C].sum())

    def runs(self, mask_C: NDArray[np.bool_]) -> list[tuple[int, int]]:
        """The chunks of ``mask_C`` as few value ranges: neighbours are joined, so that copies are long."""
        edges = np.flatnonzero(np.diff(mask_C.astype(np.int8), prepend=0, append=0))
        return [(int(self.bounds[a]), int(self.bounds[b])) for a, b in edges.reshape(-1, 2)]

    def cut(self, vector_P: NDArray[np.float32], mask_C: NDArray[np.bool_], out: NDArray[np.float32]) -> None:
        """Copies the chunks of ``mask_C``, one behind the other, into ``out`` (``num_values(mask_C)`` values)."""
        position = 0
        for start, stop in self.runs(mask_C):
            out[position : position + stop - start] = vector_P[start:stop]
            position += stop - start

    def paste(self, values: NDArray[np.float32], mask_C: NDArray[np.bool_], out_P: NDArray[np.float32]) -> None:
        """Undoes :meth:`cut`: puts ``values`` back in their places of ``out_P``; other places stay."""
        position = 0
        for start, stop in self.runs(mask_C):
            out_P[start:stop] = values[position : position + stop - start]
            position += stop - start

    def add(self, values: NDArray[np.float32], mask_C: NDArray[np.bool_], out_P: NDArray[np.float32]) -> None:
        """Adds ``values``, one chunk of ``mask_C`` behind the other, to their places of ``out_P``."""
        position = 0
        for start, stop in self.runs(mask_C):
            out_P[start:stop] += values[position : position + stop - start]
            position += stop - start

    def sums_C(self, values_P: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sum of ``values_P`` in each chunk, in float64."""
        return np.add.reduceat(values_P, self.bounds[:-1], dtype=np.float64)
