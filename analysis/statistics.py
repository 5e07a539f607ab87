"""Statistics of scores and choices: arrays in, numbers out. Letters: N clients, R rounds, C chunks.

Pure numpy; knows neither files nor figures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class AgeStatistics:
    """Rounds that chunks have waited since they were last sent."""

    mean: float
    median: int
    p95: int
    maximum: int


def age_statistics(counts_A: IntArray) -> AgeStatistics:
    """Mean, median, 95th percentile and maximum of ages (rounds) of which ``counts_A[a]`` are ``a``.

    A percentile is the least age that so many percent of the chunks do not exceed (nearest rank).

    Raises:
        ValueError: nothing was counted.
    """
    below_A = np.cumsum(counts_A)
    total = int(below_A[-1])
    if not total:
        raise ValueError("age_statistics: got no ages; at least one chunk of one client and round is needed")
    # In whole numbers: 0.95 * total would be rounded.
    median, p95 = (int(np.searchsorted(below_A * 100, total * percent)) for percent in (50, 95))
    mean = float(np.arange(len(counts_A)) @ counts_A / total)
    return AgeStatistics(mean, median, p95, int(np.flatnonzero(counts_A)[-1]))


def _importance(values: ArrayLike) -> FloatArray:
    """``values`` as float64 with maximum 1 (or all 0) along the last axis, so that no sum overflows.

    All nan where one is not finite, or negative: a share of such scores has no meaning.
    """
    found = np.array(values, dtype=np.float64)
    if not found.ndim or not found.shape[-1]:
        raise ValueError(f"importance: needs a vector of at least one chunk, got shape {found.shape}")
    largest, smallest = (end(axis=-1, keepdims=True) for end in (found.max, found.min))  # nan where one is
    with np.errstate(invalid="ignore"):
        largest = np.where((smallest >= 0) & (largest < np.inf), largest, np.nan)
    found /= np.where(largest == 0, 1.0, largest)
    return found


def lorenz(values: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """The Lorenz curve: the least important share x of the chunks holds the share y of all importance.

    Equal values, and values that are all 0, give the diagonal; one that is not finite, or negative, gives nan.

    Args:
        values: importance of each chunk, 0 or more; shape (..., C).

    Returns:
        x, of length C + 1, and y, shape (..., C + 1), rising from 0 to 1.

    Raises:
        ValueError: no values.
    """
    ascending = np.sort(_importance(values))
    count = ascending.shape[-1]
    x = np.arange(count + 1) / count
    y = np.zeros((*ascending.shape[:-1], count + 1))
    np.cumsum(ascending, axis=-1, out=y[..., 1:])
    totals = y[..., -1:].copy()
    np.divide(y, totals, out=y, where=totals != 0)
    np.copyto(y, x, where=totals == 0)
    return x, y


def gini(values: ArrayLike) -> FloatArray:
    """Gini coefficient of importance: 0 where all chunks matter alike, 1 - 1/C where a single one does.

    Half the relative mean absolute difference, ``sum_i (2i - C - 1) v_i / (C sum v)`` over ascending ``v``
    (Gini 1912). Values that are all 0 are alike: 0. One that is not finite, or negative, gives nan.

    Args:
        values: shape (..., C).

    Returns:
        Shape (...).

    Raises:
        ValueError: no values.
    """
    ascending = np.sort(_importance(values))
    count = ascending.shape[-1]
    totals = count * ascending.sum(axis=-1)
    ranks = 2.0 * np.arange(1, count + 1) - count - 1
    found = np.divide(ascending @ ranks, totals, out=np.zeros(totals.shape), where=totals != 0)
    return np.asarray(np.clip(found, 0.0, 1.0))


def effective_chunks(values_C: ArrayLike) -> float:
    """Effective number of chunks, ``(sum v)^2 / sum v^2`` (inverse Simpson index).

    C where all chunks matter alike, also where all are 0; 1 where a single one does.
    """
    values = _importance(values_C)
    squares = float(values @ values)
    return float(len(values)) if squares == 0 else float(values.sum() ** 2 / squares)


def energy_captured(scores: NDArray[np.floating], selected: BoolArray) -> FloatArray:
    """Share of the squared scores that lies in the selected chunks, 0 to 1.

    This is the contraction of top-K selection (Stich, Cordonnier and Jaggi 2018), and what dynamic sensitivity
    holds at ``sensitivity_energy``. Where all scores are 0 nothing can be lost: 1. One that is not finite, or
    negative, gives nan.

    Args:
        scores: shape (..., C).
        selected: same shape.

    Returns:
        Shape (...).
    """
    squares = np.square(scores.astype(np.float64))
    total = squares.sum(axis=-1)
    kept = np.where(selected, squares, 0.0).sum(axis=-1)
    share = np.where(total == 0, 1.0, np.nan)
    return np.asarray(np.divide(kept, total, out=share, where=(total > 0) & np.isfinite(total)))


def top_indices(values_C: NDArray[np.floating], count: int) -> tuple[int, ...]:
    """The ``count`` chunks of the highest value, highest first, ties by ascending chunk."""
    return tuple(int(c) for c in np.argsort(-values_C, kind="stable")[:count])


def bottom_indices(values_C: NDArray[np.floating], count: int) -> tuple[int, ...]:
    """The ``count`` chunks of the lowest value, lowest first, ties by ascending chunk."""
    return tuple(int(c) for c in np.argsort(values_C, kind="stable")[:count])
