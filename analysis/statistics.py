"""Statistics of scores and choices: arrays in, numbers out. Letters: N clients, R rounds, C chunks.

Pure numpy; knows neither files nor figures.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def selection_counts(
    rounds_R: NDArray[np.integer], choices: Iterable[tuple[NDArray[np.integer], BoolArray]], num_chunks: int
) -> IntArray:
    """How many clients sent each chunk in each round, shape (R, C).

    Args:
        rounds_R: the rounds to count, ascending; choices of other rounds are left out.
        choices: for each client the rounds it took part in and what it selected in them, shape (its rounds, C).
        num_chunks: C.
    """
    counts_RC = np.zeros((len(rounds_R), num_chunks), dtype=np.int64)
    for own_rounds, selected in choices:
        wanted = np.isin(own_rounds, rounds_R)
        counts_RC[np.searchsorted(rounds_R, own_rounds[wanted])] += selected[wanted]
    return counts_RC


def coverage(counts_RC: IntArray) -> FloatArray:
    """Share of the chunks that at least one client sent, 0 to 1, for each round; shape (R,)."""
    return np.asarray(np.mean(counts_RC > 0, axis=-1))


@dataclass(frozen=True)
class AgeStatistics:
    """Rounds that chunks have waited since they were last sent."""

    mean: float
    median: int
    p95: int
    maximum: int


def age_counts(
    rounds_R: NDArray[np.integer], ages: Iterable[tuple[NDArray[np.integer], NDArray[np.integer]]]
) -> IntArray:
    """How many chunks of how many clients had which age in each round, shape (R, oldest + 1).

    Everything that is said of ages follows from these counts, however many chunks there are.

    Args:
        rounds_R: the rounds to count, ascending, all that the clients took part in.
        ages: for each client the rounds it took part in and the ages of its chunks in them, shape (its rounds, C).
    """
    parts = list(ages)
    oldest = max((int(ages_RC.max(initial=0)) for _, ages_RC in parts), default=0)
    counts_RA = np.zeros((len(rounds_R), oldest + 1), dtype=np.int64)
    for own_rounds, ages_RC in parts:
        np.add.at(counts_RA, (np.searchsorted(rounds_R, own_rounds)[:, None], ages_RC), 1)
    return counts_RA


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


def _importance(values_C: ArrayLike) -> FloatArray:
    """``values_C`` as float64 with maximum 1 (or all 0), so that no sum overflows.

    All nan if one is not finite, or negative: a share of such scores has no meaning.
    """
    values = np.asarray(values_C, dtype=np.float64)
    if values.ndim != 1 or not values.size:
        raise ValueError(f"importance: needs a vector of at least one chunk, got shape {values.shape}")
    if not np.isfinite(values).all() or values.min() < 0:
        return np.full_like(values, np.nan)
    largest = values.max()
    return values / largest if largest > 0 else values


def lorenz(values_C: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """The Lorenz curve: the least important share x of the chunks holds the share y of all importance.

    Equal values, and values that are all 0, give the diagonal; one that is not finite, or negative, gives nan.

    Args:
        values_C: importance of each chunk, 0 or more.

    Returns:
        x and y, each of length C + 1, rising from 0 to 1.

    Raises:
        ValueError: no values.
    """
    values = np.sort(_importance(values_C))
    x = np.arange(len(values) + 1) / len(values)
    summed = np.concatenate(([0.0], np.cumsum(values)))
    return x, x.copy() if summed[-1] == 0 else summed / summed[-1]


def gini(values_C: ArrayLike) -> float:
    """Gini coefficient of importance: 0 where all chunks matter alike, 1 - 1/C where a single one does.

    Half the relative mean absolute difference, ``sum_i (2i - C - 1) v_i / (C sum v)`` over ascending ``v``
    (Gini 1912). Values that are all 0 are alike: 0. One that is not finite, or negative, gives nan.

    Raises:
        ValueError: no values.
    """
    values = np.sort(_importance(values_C))
    total = values.sum()
    if total == 0:
        return 0.0
    ranks = 2.0 * np.arange(1, len(values) + 1) - len(values) - 1
    return float(np.clip(ranks @ values / (len(values) * total), 0.0, 1.0))


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
