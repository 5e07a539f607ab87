"""How alike selections are: Jaccard similarity, and what chance alone would give. Letters: N clients, C chunks.

Pure numpy; knows neither files nor figures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float64]

CERTAIN = 1e-12
"""Chance that is nearer to 1 than this gives 1 but for rounding: then agreement says nothing."""

BLOCK = 4_000_000
"""Numbers worked on at once: 32 MB, whatever the number of clients."""


def jaccard(first_C: BoolArray, second_C: BoolArray) -> float:
    """``|A and B| / |A or B|`` of two selections, 0 to 1. Two empty selections are equal: 1."""
    return float(jaccard_matrix(np.stack((first_C, second_C)))[0, 1])


def jaccard_matrix(selected_NC: BoolArray, others_MC: BoolArray | None = None) -> FloatArray:
    """Jaccard similarity of each selection with each of the others (default: of the same), shape (N, M)."""
    first = selected_NC.astype(np.float32)  # a matrix product; exact below 2**24 chunks
    second = first if others_MC is None else others_MC.astype(np.float32)
    shared = (first @ second.T).astype(np.float64)
    return _ratio(shared, first.sum(axis=1)[:, None] + second.sum(axis=1)[None, :] - shared)


def row_jaccard(first_MC: BoolArray, second_MC: BoolArray) -> FloatArray:
    """Jaccard similarity of each row with the same row of the other, shape (M,)."""
    return _ratio((first_MC & second_MC).sum(axis=1), (first_MC | second_MC).sum(axis=1))


def _ratio(shared: NDArray[np.number], union: NDArray[np.number]) -> FloatArray:
    return np.asarray(np.divide(shared, union, out=np.ones(shared.shape), where=union > 0))


def expected_jaccard(first_size: int, second_size: int, num_chunks: int) -> float:
    """Mean Jaccard similarity of two *random* selections of these sizes; see :func:`expected_jaccards`."""
    return float(expected_jaccards(np.array([first_size]), np.array([second_size]), num_chunks)[0])


def expected_jaccards(first_M: NDArray[np.integer], second_M: NDArray[np.integer], num_chunks: int) -> FloatArray:
    """Mean Jaccard similarity of two *random* selections out of ``num_chunks``, for M pairs of sizes.

    Exact: the intersection X is hypergeometric, and the mean of ``X / (a + b - X)`` is taken over it. For
    a = b = k it is near ``k / (2C - k)``: at 80 % sent even random clients show 0.67. Only the X within twelve
    standard deviations plus 30 of the mean are added; by Bernstein's inequality the rest holds less than 1e-12.

    Raises:
        ValueError: a size below 0 or above ``num_chunks``.
    """
    for size in (min(first_M.min(), second_M.min()), max(first_M.max(), second_M.max())):
        if not 0 <= size <= num_chunks:
            raise ValueError(f"expected_jaccard: a selection has 0 to num_chunks={num_chunks} chunks, got {size}")
    a, b = first_M.astype(np.int64), second_M.astype(np.int64)
    mean = a * b / num_chunks
    spread = 30 + 12 * np.sqrt(mean * (1 - a / num_chunks) * (1 - b / num_chunks))
    low = np.maximum(np.maximum(0, a + b - num_chunks), (mean - spread).astype(np.int64))
    high = np.minimum(np.minimum(a, b), (mean + spread).astype(np.int64) + 1)
    rows = max(1, BLOCK // (int((high - low).max()) + 1))
    parts = [slice(start, start + rows) for start in range(0, len(a), rows)]
    return np.concatenate([_hypergeometric_mean(a[p], b[p], low[p], high[p], num_chunks) for p in parts])


def _hypergeometric_mean(
    a: NDArray[np.int64], b: NDArray[np.int64], low: NDArray[np.int64], high: NDArray[np.int64], C: int
) -> FloatArray:
    """Mean of X / (a + b - X) over the overlaps X from ``low`` to ``high`` of random selections of a and b chunks."""
    a, b, low, high = (values[:, None] for values in (a, b, low, high))
    shared = low + np.arange(int((high - low).max()) + 1)
    before = shared[:, :-1]
    possible = before < high
    more = np.where(possible, (a - before) * (b - before), 1)
    fewer = np.where(possible, (before + 1) * (C - a - b + before + 1), 1)
    ratios = np.where(possible, np.log(more) - np.log(fewer), -np.inf)
    logs = np.concatenate((np.zeros_like(low, dtype=np.float64), np.cumsum(ratios, axis=1)), axis=1)
    weights = np.exp(logs - logs.max(axis=1, keepdims=True))
    similarity = _ratio(shared, np.maximum(a + b - shared, 0))
    return np.asarray((weights * similarity).sum(axis=1) / weights.sum(axis=1))


def expected_matrix(sizes_N: NDArray[np.integer], num_chunks: int) -> FloatArray:
    """What chance gives for each pair of N selections of these sizes, shape (N, N)."""
    sizes_K, kind_N = np.unique(sizes_N, return_inverse=True)  # with fixed sensitivity all pairs are of one kind
    rows, columns = np.triu_indices(len(sizes_K))
    kinds_KK = np.empty((len(sizes_K), len(sizes_K)))
    kinds_KK[rows, columns] = expected_jaccards(sizes_K[rows], sizes_K[columns], num_chunks)
    kinds_KK[columns, rows] = kinds_KK[rows, columns]
    return np.asarray(kinds_KK[np.ix_(kind_N, kind_N)])


def chance_corrected(similarity: float, expected: float) -> float | None:
    """``(J - E) / (1 - E)``: 0 for what chance gives, 1 for equal, negative for less than chance.

    None where chance alone gives 1 (both send everything, or nothing): then agreement says nothing.
    """
    return (similarity - expected) / (1 - expected) if expected < 1 - CERTAIN else None


def chance_corrected_all(similarity: FloatArray, expected: FloatArray) -> FloatArray:
    """:func:`chance_corrected` of arrays; nan for None, and where either is nan."""
    room = 1 - expected
    corrected = np.full(similarity.shape, np.nan)
    return np.asarray(np.divide(similarity - expected, room, out=corrected, where=room > CERTAIN))


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
    num_clients = len(selected_NC)
    if num_clients < 2:
        return None
    pairs = num_clients * (num_clients - 1) // 2
    rows = max(1, BLOCK // num_clients)
    blocks = (jaccard_matrix(selected_NC[i : i + rows], selected_NC).sum() for i in range(0, num_clients, rows))
    similarity = (float(sum(blocks)) - num_clients) / 2  # each pair stands twice, and each client beside itself
    sizes_K, counts_K = np.unique(selected_NC.sum(axis=1), return_counts=True)
    first, second = np.triu_indices(len(sizes_K))
    chances = expected_jaccards(sizes_K[first], sizes_K[second], selected_NC.shape[1])
    same = first == second
    weights = np.where(same, counts_K[first] * (counts_K[first] - 1) / 2, counts_K[first] * counts_K[second])
    return Agreement(pairs, similarity / pairs, float(np.average(chances, weights=weights)))
