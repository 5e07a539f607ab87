"""How much a chunk matters: one number per chunk. Larger goes first.

A score is a rule (a norm, a draw, a turn), perhaps divided by what the chunk costs (:func:`per_value`) and raised by
how long it has waited (:func:`with_age`). ``ages_C`` are rounds waited: 0 for a chunk that went in the round before.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.chunking.layout import Layout, ranges
from fedchunk.orchestrator.chunking.tensor_pieces import cut_evenly


def norms(vector_P: NDArray[np.float32], layout: Layout) -> NDArray[np.float32]:
    """L2 norm of each chunk of ``vector_P``.

    Of a gradient this is the importance of FedPilot's page on chunking: ``importance(c) = ||gradient[c]||_2``. Of
    this round's change it is the score ``update``; of all that was not sent yet, this round's change included, it is
    ``accumulated`` (the error feedback memory of Stich et al. 2018, "Sparsified SGD with Memory").

    Example:
        >>> norms(np.array([3, 4, 0, 2], np.float32), Layout(4, 2)).tolist()
        [5.0, 2.0]
    """
    return np.sqrt(squared_norms(vector_P, layout)).astype(np.float32)


def length(vector_P: NDArray[np.float32]) -> float:
    """L2 norm of a whole vector, as exact as :func:`squared_norms`.

    Example:
        >>> length(np.array([3, 4], np.float32))
        5.0
    """
    return float(np.sqrt(squared_norms(vector_P, Layout(len(vector_P), 1))[0]))


def squared_norms(vectors_P: NDArray[np.float32], layout: Layout) -> NDArray[np.float64]:
    """Squared L2 norm of each chunk, to a relative error below 1e-6.

    Squares are added in float32 over short runs of values and in float64 across the runs, which costs about one copy
    of the vector. Chunks whose squares leave the safe range of float32 are added again in float64.

    Args:
        vectors_P: a vector (P,), or several as rows (G, P).
        layout: the cut.

    Returns:
        (C,), or (G, C): a row is what it would be alone.
    """
    if layout.shortest >= LONG_CHUNK:
        sums_C = _by_cells(vectors_P, layout)
    elif layout.longest <= LONG_CHUNK:
        sums_C = _by_chunks(vectors_P, layout)
    else:
        sums_C = _by_runs(vectors_P, layout)
    unsafe_C = ~((sums_C >= SAFE_SQUARES[0]) & (sums_C <= SAFE_SQUARES[1]))
    if unsafe_C.any():
        sums_C[unsafe_C] = _exactly(vectors_P, unsafe_C, layout)
    return sums_C


def _exactly(vectors_P: NDArray[np.float32], marked_C: NDArray[np.bool_], layout: Layout) -> NDArray[np.float64]:
    """The marked chunks' sums of squares, one behind the other, in float64: few at once, for their temporaries."""
    *rows_K, chunks_K = np.nonzero(marked_C)
    sizes_K = layout.sizes_C[chunks_K]
    starts_K = layout.bounds[chunks_K] + (rows_K[0] * layout.num_parameters if rows_K else 0)
    values = vectors_P.reshape(-1)
    at_once = max(1, BLOCK_VALUES // layout.longest)
    sums = []
    for first in range(0, len(chunks_K), at_once):
        sizes = sizes_K[first : first + at_once]
        squares = np.square(values[ranges(starts_K[first : first + at_once], sizes)], dtype=np.float64)
        sums.append(np.add.reduceat(squares, np.cumsum(sizes) - sizes))
    return np.concatenate(sums)


def relative(update_P: NDArray[np.float32], weights_P: NDArray[np.float32], layout: Layout) -> NDArray[np.float32]:
    """``|u_c| / |x_c|``: change over weight, which makes layers of different scale comparable.

    FedLUAR ranks layers by this ratio (Kim et al. 2025, arXiv 2503.11146). 0 / 0 is 0: nothing happened. A change of
    weights that were all 0 goes first: it gets twice the largest ratio of the others (1 without others), which keeps
    the scores finite and their spread readable.

    Args:
        update_P: this round's change.
        weights_P: the weights before it.
        layout: the cut.

    Example:
        >>> update, weights = np.array([3, 4, 0, 0, 1, 0], np.float32), np.array([6, 8, 1, 1, 0, 0], np.float32)
        >>> relative(update, weights, Layout(6, 3)).tolist()
        [0.5, 0.0, 1.0]
    """
    changes_C = np.sqrt(squared_norms(update_P, layout))
    lengths_C = np.sqrt(squared_norms(weights_P, layout))
    ratios_C = np.divide(changes_C, lengths_C, out=np.zeros(layout.num_chunks), where=lengths_C > 0)
    ratios_C[(lengths_C == 0) & (changes_C > 0)] = 2 * ratios_C.max() or 1.0
    return _in_range(ratios_C)


def at_random(num_chunks: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Scores without meaning, uniform in [0, 1): the choice that every rule has to beat."""
    return rng.random(num_chunks, dtype=np.float32)


def round_robin(ages_C: NDArray[np.int32], first: int) -> NDArray[np.float32]:
    """Chunks in turn: the longest unsent first, and among equals those from ``first`` on, then round to the start.

    The score is the chunk's place counted from the back: C for the first to go, 1 for the last. As the turn follows the
    ages, K may change from round to round: in any rounds in which C chunks are sent, each goes; with a constant K that
    is ceil(C / K) rounds. Clients that begin at different chunks cover the model together. Streaming DiLoCo (Douillard
    et al. 2025) sends its fragments in turn like this.

    Args:
        ages_C: rounds that each chunk has waited.
        first: the chunk that this client begins with, 0 <= first < C.

    Example:
        >>> round_robin(np.array([0, 2, 2, 1], np.int32), 2).tolist()
        [1.0, 3.0, 4.0, 2.0]
    """
    num_chunks = len(ages_C)
    turn_C = (np.arange(num_chunks) - first) % num_chunks
    scores_C = np.empty(num_chunks, np.float32)
    scores_C[np.lexsort((turn_C, -ages_C.astype(np.int64)))] = np.arange(num_chunks, 0, -1)
    return scores_C


def per_value(scores_C: NDArray[np.float32], sizes_C: NDArray[np.int64]) -> NDArray[np.float32]:
    """Scores per byte: ``score * sqrt(mean size / size)``, that is energy (squared score) per value.

    Taking the best energy per byte first is the greedy solution of the knapsack, best up to one chunk; a bare norm
    would favour large chunks. Scores of chunks of equal size stay as they are, bit for bit.

    Example:
        >>> per_value(np.array([2, 2], np.float32), np.array([1, 4])).round(3).tolist()
        [3.1619999408721924, 1.5809999704360962]
    """
    return _in_range(scores_C * np.sqrt(sizes_C.mean() / sizes_C))


def with_age(scores_C: NDArray[np.float32], ages_C: NDArray[np.int32], exponent: float) -> NDArray[np.float32]:
    """``score * (age + 1) ** exponent``: a chunk that waits becomes more important.

    Age beside magnitude keeps chunks from being forgotten (AgeTop-k, Du et al. 2025, arXiv 2504.01357). Exponent 0
    leaves scores as they are; what would pass the range of float32 stays at its end.

    Example:
        >>> with_age(np.array([3, 2, 0], np.float32), np.array([0, 1, 9]), 2).tolist()
        [3.0, 8.0, 0.0]
    """
    if exponent == 0:
        return scores_C
    return _in_range(scores_C * (ages_C + 1.0) ** exponent)


CELL = 64
"""Values squared and added in float32 at once, in :func:`_by_cells`."""
LONG_CHUNK = 8 * CELL
"""Values of a chunk from which whole cells inside it outweigh the cells that its borders cut."""
SAFE_SQUARES = (1e-20, 1e30)
"""Sums of float32 squares that cannot have lost digits below the smallest or above the largest float32."""
BLOCK_VALUES = 1 << 16
"""Values handled at once: 512 KiB of float64, which fits a core's second-level cache."""
RUNS_AT_ONCE = BLOCK_VALUES // LONG_CHUNK
"""Runs handled at once, in :func:`_by_runs`."""


@dataclass(frozen=True)
class _Cells:
    """Where a layout's borders lie between cells of ``CELL`` values; found once for a layout."""

    whole: NDArray[np.int64]
    """Per chunk its first whole cell and the one behind the last; none behind the last chunk's last."""
    cut: NDArray[np.int64]
    """The borders that cut a cell, by the number of the chunk in front."""
    cells: NDArray[np.int64]
    """The cells that they cut."""
    parts: NDArray[np.int64]
    """Where the two parts of each cut cell begin, in these cells one behind the other."""


@lru_cache(maxsize=16)
def _cells_of(layout: Layout) -> _Cells:
    at, offset = np.divmod(layout.bounds[1:-1], CELL)
    whole = np.empty(2 * layout.num_chunks - 1, np.int64)
    whole[0], whole[1::2], whole[2::2] = 0, at, at + (offset > 0)
    cut = np.flatnonzero(offset)
    starts = CELL * np.arange(len(cut))
    return _Cells(whole, cut, at[cut], np.column_stack((starts, starts + offset[cut])).ravel())


def _by_cells(vectors_P: NDArray[np.float32], layout: Layout) -> NDArray[np.float64]:
    """Cuts a vector into cells of equal length, which needs no copy; cells that a border cuts are added apart."""
    borders = _cells_of(layout)
    num_cells, others = layout.num_parameters // CELL, vectors_P.shape[:-1]
    cells = vectors_P[..., : num_cells * CELL].reshape(*others, num_cells, CELL)
    cell_sums = np.einsum("...ij,...ij->...i", cells, cells).astype(np.float64)
    sums_C: NDArray[np.float64] = np.add.reduceat(cell_sums, borders.whole, axis=-1)[..., ::2]
    if len(borders.cut):
        squares = np.square(cells[..., borders.cells, :], dtype=np.float64, order="C")
        parts = np.add.reduceat(squares.reshape(*others, -1), borders.parts, axis=-1)
        sums_C[..., borders.cut] += parts[..., ::2]
        sums_C[..., borders.cut + 1] += parts[..., 1::2]
    sums_C[..., -1] += np.square(vectors_P[..., num_cells * CELL :], dtype=np.float64).sum(axis=-1)
    return sums_C


def _by_chunks(vectors_P: NDArray[np.float32], layout: Layout) -> NDArray[np.float64]:
    """Adds short chunks one by one, block by block so that the squares stay in cache."""
    sums_C = np.empty((*vectors_P.shape[:-1], layout.num_chunks))
    with np.errstate(over="ignore"):
        for first, last in _blocks(layout):
            start, stop = layout.bounds[first], layout.bounds[last]
            squares = np.square(vectors_P[..., start:stop])
            sums_C[..., first:last] = np.add.reduceat(squares, layout.bounds[first:last] - start, axis=-1)
    return sums_C


def _by_runs(vectors_P: NDArray[np.float32], layout: Layout) -> NDArray[np.float64]:
    """Chunks of any length: adds runs of at most ``LONG_CHUNK`` values in float32, and a chunk's runs in float64."""
    runs = _runs_of(layout)
    sums_R = np.empty((*vectors_P.shape[:-1], len(runs.bounds) - 1))
    with np.errstate(over="ignore"):
        for first in range(0, sums_R.shape[-1], RUNS_AT_ONCE):
            here = runs.bounds[first : first + RUNS_AT_ONCE + 1]
            squares = np.square(vectors_P[..., here[0] : here[-1]])
            sums_R[..., first : first + RUNS_AT_ONCE] = np.add.reduceat(squares, here[:-1] - here[0], axis=-1)
    sums_C: NDArray[np.float64] = np.add.reduceat(sums_R, runs.firsts_C, axis=-1)
    return sums_C


@dataclass(frozen=True)
class _Runs:
    """A layout's chunks, cut into runs of at most ``LONG_CHUNK`` values; found once for a layout."""

    bounds: NDArray[np.int64]
    """Borders of the runs."""
    firsts_C: NDArray[np.int64]
    """The first run of each chunk."""


@lru_cache(maxsize=16)
def _runs_of(layout: Layout) -> _Runs:
    numbers_C = -(-layout.sizes_C // LONG_CHUNK)
    return _Runs(cut_evenly(layout.sizes_C, numbers_C), np.cumsum(numbers_C) - numbers_C)


@lru_cache(maxsize=16)
def _blocks(layout: Layout) -> tuple[tuple[int, int], ...]:
    """Ranges of whole chunks of at most ``BLOCK_VALUES`` values each (one chunk at least); found once for a layout."""
    return tuple(layout.chunk_blocks(np.ones(layout.num_chunks, np.bool_), BLOCK_VALUES))


def _in_range(scores_C: NDArray[np.float64]) -> NDArray[np.float32]:
    return np.minimum(scores_C, np.finfo(np.float32).max).astype(np.float32)
