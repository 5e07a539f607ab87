"""Sums of squares, chunk by chunk, added up block by block: whoever passes over a vector anyway adds them in passing.

Squares are added in float32 over short pieces and in float64 across the pieces, which costs less than a copy of the
vector. Chunks whose squares leave the safe range of float32 are added again in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import pairwise
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.chunking.layout import Layout, ranges
from fedchunk.orchestrator.chunking.tensor_pieces import cut_evenly

CELL = 64
"""Values squared and added in float32 at once, where chunks are long."""
LONG_CHUNK = 32 * CELL
"""Values of a chunk from which whole cells inside it outweigh the cells that its borders cut, which are added apart."""
ROW_VALUES = CELL + CELL // 4
"""Values of a chunk up to which it is a cell by itself."""
LONG_RUN = 8
"""Chunks of a run from which it is handled by itself."""
FEW_RUNS = 16
"""Runs of chunks of one length in a block, up to which it pays to add run by run."""
SAFE_SQUARES = (1e-20, 1e30)
"""Sums of float32 squares that cannot have lost digits below the smallest or above the largest float32."""
BLOCK_VALUES = 1 << 16
"""Values handled at once: what is made of them stays in a core's second-level cache."""

Values = NDArray[np.float32]
Places = slice | NDArray[np.int64]


class SquareSums(Protocol):
    """The sums of some vectors of one layout: what numpy does in small steps, it does for all of them at once."""

    def add(self, row: int, block: int, values_B: Values) -> None:
        """Adds one of :func:`blocks` of a vector: each once, in any order. Squares may leave the range of float32."""
        ...

    def squares_GC(self) -> NDArray[np.float64]:
        """The sums, (G, C), of all blocks; wrong where float32 was left."""
        ...


def blocks(layout: Layout) -> tuple[slice, ...]:
    """The parts in which a vector is to be passed over: they cover it, one behind the other."""
    return _cut_of(layout).blocks


def square_sums(layout: Layout, count: int) -> SquareSums:
    """Sums of ``count`` vectors, to which nothing was added."""
    return _cut_of(layout).begin(count)


def squared_norms(vector_P: Values, layout: Layout) -> NDArray[np.float64]:
    """Squared L2 norm of each chunk, (C,), to a relative error below 1e-6."""
    total = square_sums(layout, 1)
    with np.errstate(over="ignore"):
        for number, block in enumerate(blocks(layout)):
            total.add(0, number, vector_P[block])
    squares_C: NDArray[np.float64] = in_range(total, layout, lambda _, places: vector_P[places])[0]
    return squares_C


def in_range(total: SquareSums, layout: Layout, values_at: Callable[[int, Places], Values]) -> NDArray[np.float64]:
    """The sums, (G, C), added again where squares left the safe range of float32.

    ``values_at`` gives the values of a vector, by its row, at some places.
    """
    squares_GC = total.squares_GC()
    unsafe_GC = ~((squares_GC >= SAFE_SQUARES[0]) & (squares_GC <= SAFE_SQUARES[1]))
    rows_K, chunks_K = np.nonzero(unsafe_GC)
    if not len(rows_K):
        return squares_GC
    if layout.sizes_C[chunks_K].sum() <= BLOCK_VALUES:
        squares_GC[rows_K, chunks_K] = _few_exactly(values_at, rows_K, chunks_K, layout)
        return squares_GC
    for row in np.unique(rows_K).tolist():
        squares_GC[row, unsafe_GC[row]] = _exactly(partial(values_at, row), unsafe_GC[row], layout)
    return squares_GC


def _few_exactly(
    values_at: Callable[[int, Places], Values],
    rows_K: NDArray[np.int64],
    chunks_K: NDArray[np.int64],
    layout: Layout,
) -> NDArray[np.float64]:
    """Sums of squares in float64 of some chunks, (K,), row by row: as where nothing happened to few weights of each."""
    sizes_K = layout.sizes_C[chunks_K]
    starts_K = np.cumsum(sizes_K) - sizes_K
    places_V = ranges(layout.bounds[chunks_K], sizes_K)
    firsts = np.flatnonzero(np.diff(rows_K, prepend=-1))
    parts = pairwise([*starts_K[firsts].tolist(), len(places_V)])
    rows = rows_K[firsts].tolist()
    values_V = np.concatenate([values_at(row, places_V[slice(*part)]) for row, part in zip(rows, parts, strict=True)])
    sums_K: NDArray[np.float64] = np.add.reduceat(np.square(values_V, dtype=np.float64), starts_K)
    return sums_K


def _exactly(values_at: Callable[[Places], Values], mask_C: NDArray[np.bool_], layout: Layout) -> NDArray[np.float64]:
    """Some chunks' sums of squares in float64: few chunks at once, for their temporaries."""
    sums = []
    for chunks, places in _few_at_once(mask_C, layout):
        sizes, values = layout.sizes_C[chunks], values_at(places)
        if values.any():
            sums.append(np.add.reduceat(np.square(values, dtype=np.float64), np.cumsum(sizes) - sizes))
        else:  # as where nothing happened to weights that nothing reaches
            sums.append(np.zeros(len(sizes)))
    return np.concatenate(sums)


def _few_at_once(mask_C: NDArray[np.bool_], layout: Layout) -> Iterator[tuple[Places, Places]]:
    """The chunks of a mask and their values, some at a time: of long runs slices, which copy nothing."""
    chunks_K = np.flatnonzero(mask_C)
    runs = layout.chunk_blocks(mask_C, BLOCK_VALUES) if len(chunks_K) > 2 * LONG_RUN else []
    if runs and LONG_RUN * len(runs) <= len(chunks_K):
        for first, last in runs:
            yield slice(first, last), slice(int(layout.bounds[first]), int(layout.bounds[last]))
        return
    at_once = max(1, BLOCK_VALUES // layout.longest)
    for start in range(0, len(chunks_K), at_once):
        chunks = chunks_K[start : start + at_once]
        yield chunks, ranges(layout.bounds[chunks], layout.sizes_C[chunks])


@lru_cache(maxsize=16)
def _cut_of(layout: Layout) -> _Cells | _Pieces:
    """How a layout's vectors are added up; worked out once for a layout."""
    if layout.shortest >= LONG_CHUNK:
        return _Cells(layout)
    if layout.longest <= LONG_CHUNK:
        return _Pieces(layout.bounds, None)
    numbers_C = -(-layout.sizes_C // LONG_CHUNK)
    return _Pieces(cut_evenly(layout.sizes_C, numbers_C), np.cumsum(numbers_C) - numbers_C)


class _Pieces:
    """Short chunks one by one; where some are longer, all in runs of at most ``LONG_CHUNK`` values."""

    def __init__(self, bounds: NDArray[np.int64], firsts_C: NDArray[np.int64] | None) -> None:
        """``bounds`` of the pieces; ``firsts_C`` is each chunk's first piece, None: pieces are chunks."""
        last = 0
        borders = [0]
        while last < len(bounds) - 1:
            last = int(np.searchsorted(bounds, bounds[last] + BLOCK_VALUES, side="right")) - 1
            borders.append(last)
        self.pieces = tuple(slice(*pair) for pair in pairwise(borders))
        self.blocks = tuple(slice(int(bounds[part.start]), int(bounds[part.stop])) for part in self.pieces)
        self.starts = tuple(bounds[part] - bounds[part.start] for part in self.pieces)
        self.runs = tuple(_equal_runs(bounds[part.start : part.stop + 1] - bounds[part.start]) for part in self.pieces)
        self.firsts_C, self.count = firsts_C, len(bounds) - 1

    def begin(self, count: int) -> SquareSums:
        return _PieceSums(self, count)


def _equal_runs(bounds: NDArray[np.int64]) -> tuple[_Run, ...] | None:
    """A block's pieces as few runs of one length each; None where there are many runs, or long pieces."""
    sizes = np.diff(bounds)
    borders = np.array([0, *(np.flatnonzero(np.diff(sizes)) + 1), len(sizes)])
    if sizes.max() > ROW_VALUES or len(borders) > FEW_RUNS:
        return None
    return tuple(
        _Run(slice(first, last), slice(int(bounds[first]), int(bounds[last])), int(sizes[first]))
        for first, last in pairwise(borders.tolist())
    )


@dataclass(frozen=True)
class _Run:
    """Neighbouring pieces of a block that are equally long."""

    pieces: slice
    values: slice
    size: int


class _PieceSums:
    def __init__(self, cut: _Pieces, count: int) -> None:
        self._cut, self._sums = cut, np.empty((count, cut.count))

    def add(self, row: int, block: int, values_B: Values) -> None:
        sums, runs = self._sums[row, self._cut.pieces[block]], self._cut.runs[block]
        if runs is None:
            sums[:] = np.add.reduceat(np.square(values_B), self._cut.starts[block])
            return
        for run in runs:
            values = values_B[run.values].reshape(-1, run.size)
            sums[run.pieces] = np.einsum("ij,ij->i", values, values)

    def squares_GC(self) -> NDArray[np.float64]:
        firsts_C = self._cut.firsts_C
        return self._sums if firsts_C is None else np.add.reduceat(self._sums, firsts_C, axis=1)


@dataclass(frozen=True)
class _BlockOfCells:
    """What there is in a block."""

    cells: slice
    cut: slice
    """The cells that borders cut, among all such cells."""
    places: NDArray[np.int64]
    """Where they are among the block's cells."""


class _Cells:
    """Long chunks: a vector in cells of equal length, which needs no copy; cells that a border cuts are added apart."""

    def __init__(self, layout: Layout) -> None:
        at, offset = np.divmod(layout.bounds[1:-1], CELL)
        self.num_cells, self.tail = divmod(layout.num_parameters, CELL)
        self.whole = np.empty(2 * layout.num_chunks - 1, np.int64)
        self.whole[0], self.whole[1::2], self.whole[2::2] = 0, at, at + (offset > 0)
        """Per chunk its first whole cell and the one behind the last; none behind the last chunk's last."""
        self.borders = np.flatnonzero(offset)
        """The borders that cut a cell, by the number of the chunk in front."""
        starts = CELL * np.arange(len(self.borders))
        self.parts = np.column_stack((starts, starts + offset[self.borders])).ravel()
        """Where the two parts of each cell that is cut begin, in these cells one behind the other."""
        per_block = BLOCK_VALUES // CELL
        firsts = range(0, max(1, self.num_cells), per_block)
        parts = [slice(first, min(first + per_block, self.num_cells)) for first in firsts]
        self.in_blocks = [_block_of_cells(part, at[self.borders]) for part in parts]
        stops = [*(part.stop * CELL for part in parts[:-1]), layout.num_parameters]  # the last has what is left over
        self.blocks = tuple(slice(*pair) for pair in pairwise([0, *stops]))

    def begin(self, count: int) -> SquareSums:
        return _CellSums(self, count)


def _block_of_cells(cells: slice, cut: NDArray[np.int64]) -> _BlockOfCells:
    here = slice(*np.searchsorted(cut, [cells.start, cells.stop]).tolist())
    return _BlockOfCells(cells, here, cut[here] - cells.start)


class _CellSums:
    def __init__(self, cut: _Cells, count: int) -> None:
        self._cut, self._tails = cut, np.zeros((count, cut.tail), np.float32)
        self._cells = np.empty((count, cut.num_cells))
        self._halved = np.empty((count, len(cut.borders), CELL), np.float32)
        """The cells that are cut, as they are."""

    def add(self, row: int, block: int, values_B: Values) -> None:
        this = self._cut.in_blocks[block]
        in_cells = (this.cells.stop - this.cells.start) * CELL
        cells = values_B[:in_cells].reshape(-1, CELL)
        self._cells[row, this.cells] = np.einsum("ij,ij->i", cells, cells)
        if len(this.places):
            np.take(cells, this.places, axis=0, out=self._halved[row, this.cut], mode="clip")  # all are there
        if in_cells < len(values_B):
            self._tails[row] = values_B[in_cells:]

    def squares_GC(self) -> NDArray[np.float64]:
        cut = self._cut
        squares_GC: NDArray[np.float64] = np.add.reduceat(self._cells, cut.whole, axis=1)[:, ::2]
        if len(cut.borders):
            squares = np.square(self._halved, dtype=np.float64).reshape(len(self._halved), -1)
            parts = np.add.reduceat(squares, cut.parts, axis=1)
            squares_GC[:, cut.borders] += parts[:, ::2]
            squares_GC[:, cut.borders + 1] += parts[:, 1::2]
        squares_GC[:, -1] += np.square(self._tails, dtype=np.float64).sum(axis=1)
        return squares_GC
