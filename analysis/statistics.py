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
    median: float
    p95: float
    maximum: int


def age_statistics(ages: NDArray[np.integer]) -> AgeStatistics:
    """Mean, median, 95th percentile and maximum of ages (rounds), of any shape but empty."""
    if not ages.size:
        raise ValueError("age_statistics: got no ages; at least one chunk of one client and round is needed")
    median, p95 = np.percentile(ages, [50, 95])
    return AgeStatistics(float(ages.mean()), float(median), float(p95), int(ages.max()))


def _importance(values_C: ArrayLike) -> FloatArray:
    """``values_C`` as float64 with maximum 1 (or all 0), so that no sum overflows; all nan if one is not finite."""
    values = np.asarray(values_C, dtype=np.float64)
    if values.ndim != 1 or not values.size:
        raise ValueError(f"importance: needs a vector of at least one chunk, got shape {values.shape}")
    if not np.isfinite(values).all():
        return np.full_like(values, np.nan)
    if values.min() < 0:
        raise ValueError(f"importance: needs values of 0 or more, got {values.min()}")
    largest = values.max()
    return values / largest if largest > 0 else values


def lorenz(values_C: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """The Lorenz curve: the least important share x of the chunks holds the share y of all importance.

    Equal values, and values that are all 0, give the diagonal; one that is not finite gives nan.

    Args:
        values_C: importance of each chunk, 0 or more.

    Returns:
        x and y, each of length C + 1, rising from 0 to 1.

    Raises:
        ValueError: no values, or negative ones.
    """
    values = np.sort(_importance(values_C))
    x = np.arange(len(values) + 1) / len(values)
    summed = np.concatenate(([0.0], np.cumsum(values)))
    return x, x.copy() if summed[-1] == 0 else summed / summed[-1]


def gini(values_C: ArrayLike) -> float:
    """Gini coefficient of importance: 0 where all chunks matter alike, 1 - 1/C where a single one does.

    Half the relative mean absolute difference, ``sum_i (2i - C - 1) v_i / (C sum v)`` over ascending ``v``
    (Gini 1912). Values that are all 0 are alike: 0. One that is not finite gives nan.

    Raises:
        ValueError: no values, or negative ones.
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
    holds at ``sensitivity_energy``. Where all scores are 0 nothing can be lost: 1. One that is not finite gives nan.

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


def jaccard(first_C: BoolArray, second_C: BoolArray) -> float:
    """``|A and B| / |A or B|`` of two selections, 0 to 1. Two empty selections are equal: 1."""
    union = int(np.sum(first_C | second_C))
    return float(np.sum(first_C & second_C)) / union if union else 1.0


def jaccard_matrix(selected_NC: BoolArray) -> FloatArray:
    """Jaccard similarity of each client's selection with each other's, shape (N, N); 1 on the diagonal."""
    ones = selected_NC.astype(np.float32)  # a matrix product; exact below 2**24 chunks
    shared = (ones @ ones.T).astype(np.float64)
    sizes = np.diag(shared)
    union = sizes[:, None] + sizes[None, :] - shared
    return np.divide(shared, union, out=np.ones_like(shared), where=union > 0)


def expected_jaccard(first_size: int, second_size: int, num_chunks: int) -> float:
    """Mean Jaccard similarity of two *random* selections of these sizes out of ``num_chunks``.

    Exact: the intersection X is hypergeometric, and the mean of ``X / (a + b - X)`` is taken over it. For
    a = b = k it is near ``k / (2C - k)``: at 80 % sent even random clients show 0.67. Only the X within twelve
    standard deviations plus 30 of the mean are added; by Bernstein's inequality the rest holds less than 1e-12.

    Raises:
        ValueError: a size below 0 or above ``num_chunks``.
    """
    for size in (first_size, second_size):
        if not 0 <= size <= num_chunks:
            raise ValueError(f"expected_jaccard: a selection has 0 to num_chunks={num_chunks} chunks, got {size}")
    if first_size + second_size == 0:
        return 1.0
    a, b, C = first_size, second_size, num_chunks
    mean = a * b / C
    spread = 30 + 12 * np.sqrt(mean * (1 - a / C) * (1 - b / C))
    low, high = max(0, a + b - C, int(mean - spread)), min(a, b, int(mean + spread) + 1)
    shared = np.arange(low, high + 1)
    ratios = np.log((a - shared[:-1]) * (b - shared[:-1])) - np.log(shared[1:] * (C - a - b + shared[1:]))
    logs = np.concatenate(([0.0], np.cumsum(ratios)))
    weights = np.exp(logs - logs.max())
    return float(weights @ (shared / (a + b - shared)) / weights.sum())


def chance_corrected(similarity: float, expected: float) -> float | None:
    """``(J - E) / (1 - E)``: 0 for what chance gives, 1 for equal, negative for less than chance.

    None where chance alone gives 1 (both send everything, or nothing): then agreement says nothing.
    """
    return (similarity - expected) / (1 - expected) if expected < 1 - 1e-12 else None


@dataclass(frozen=True)
class Agreement:
    """How much clients choose the same chunks, as means over pairs of clients."""

    pairs: int
    jaccard: float
    expected_jaccard: float
    """What random selections of the same sizes would show."""

    @property
    def chance_corrected(self) -> float | None:
        """``(J - E) / (1 - E)``; see :func:`chance_corrected`."""
        return chance_corrected(self.jaccard, self.expected_jaccard)


def agreement(selected_NC: BoolArray) -> Agreement | None:
    """Agreement of N clients in one round, over all pairs; None for fewer than two clients."""
    num_clients, num_chunks = selected_NC.shape
    if num_clients < 2:
        return None
    first, second = np.triu_indices(num_clients, k=1)
    similarity = jaccard_matrix(selected_NC)[first, second].mean()
    sizes_N = selected_NC.sum(axis=1)
    # Pairs of equal sizes share one expectation: with fixed sensitivity a single one.
    pairs = np.sort(np.stack((sizes_N[first], sizes_N[second]), axis=1), axis=1)
    kinds, counts = np.unique(pairs, axis=0, return_counts=True)
    chances = [expected_jaccard(int(a), int(b), num_chunks) for a, b in kinds]
    return Agreement(len(first), float(similarity), float(np.average(chances, weights=counts)))


def top_indices(values_C: NDArray[np.floating], count: int) -> tuple[int, ...]:
    """The ``count`` chunks of the highest value, highest first, ties by ascending chunk."""
    return tuple(int(c) for c in np.argsort(-values_C, kind="stable")[:count])


def bottom_indices(values_C: NDArray[np.floating], count: int) -> tuple[int, ...]:
    """The ``count`` chunks of the lowest value, lowest first, ties by ascending chunk."""
    return tuple(int(c) for c in np.argsort(values_C, kind="stable")[:count])
