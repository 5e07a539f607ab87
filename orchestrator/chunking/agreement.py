"""One set of chunks for all clients: cheap scores for the way up, and scores predicted without asking.

Agreeing on the chunks keeps the downlink as small as the uplink and the average a contraction (GradientFlow, Sun et
al. 2019; ARC-Top-K, arXiv 2510.26709), and costs one number per chunk and client.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

OCTAVES = 16
"""Span of a byte's scores, 1 : 2**16. A chunk below the span holds less than 2**-32 of the largest chunk's energy:
a million of them hold 0.02 % of it, so telling them apart is worth nothing. A step is 4.4 %, an error 2.2 % at most."""


def to_bytes(scores_C: NDArray[np.float32]) -> tuple[float, NDArray[np.uint8]]:
    """A score as one logarithmic byte, relative to the client's largest: ``255 (1 + log2(s / peak) / 16)``.

    Rounded to the nearest and kept within 1 .. 255; 0 is left for a score of 0. Small and large scores have the same
    relative error, which is what a choice by rank and a sum of squares need.

    Returns:
        The peak, a float32 that travels beside the bytes so that clients can be compared, and the C bytes.

    Example:
        >>> peak, bytes_C = to_bytes(np.array([8, 4, 0, 1e-9], np.float32))
        >>> peak, bytes_C.tolist()
        (8.0, [255, 239, 0, 1])
    """
    peak = float(scores_C.max())
    levels_C = np.zeros(len(scores_C))
    np.log2(scores_C.astype(np.float64) / (peak or 1.0), out=levels_C, where=scores_C > 0)
    bytes_C = np.clip(np.rint(255 * (1 + levels_C / OCTAVES)), 1, 255)
    return peak, np.where(scores_C > 0, bytes_C, 0).astype(np.uint8)


def from_bytes(peak: float, bytes_C: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Undoes :func:`to_bytes`: ``peak * 2 ** (16 (b / 255 - 1))``, and 0 for 0.

    Example:
        >>> from_bytes(8.0, np.array([255, 239, 0], np.uint8)).round(2).tolist()
        [8.0, 3.990000009536743, 0.0]
    """
    scores_C = peak * np.exp2(OCTAVES * (bytes_C / 255.0 - 1))
    return np.where(bytes_C > 0, scores_C, 0).astype(np.float32)


def agreed_scores(scores_NC: NDArray[np.float32], weights_N: NDArray[np.float64]) -> NDArray[np.float32]:
    """The scores of all clients as one: the square root of the weighted mean of their squares.

    Squares, because energies add up: the K best hold the most of what all clients together have to send. Added in
    client order, in float64.

    Args:
        scores_NC: scores by client and chunk.
        weights_N: the clients' weights in the aggregation, positive.

    Example:
        >>> agreed_scores(np.array([[1, 0], [7, 2]], np.float32), np.array([1.0, 1.0])).round(3).tolist()
        [5.0, 1.4140000343322754]
    """
    energies_C = np.zeros(scores_NC.shape[1])
    for scores_C, weight in zip(scores_NC, weights_N, strict=True):
        energies_C += weight * np.square(scores_C, dtype=np.float64)
    shared_C: NDArray[np.float64] = np.sqrt(energies_C / weights_N.sum())
    return shared_C.astype(np.float32)


def unseen(num_chunks: int) -> NDArray[np.float32]:
    """The rates of :func:`predicted` before anything was seen: infinite, which means unknown."""
    return np.full(num_chunks, np.inf, np.float32)


def predicted(rates_C: NDArray[np.float32], ages_C: NDArray[np.int32], growth: float = 1.0) -> NDArray[np.float32]:
    """Scores without asking: the norm that each chunk's withheld change should have, ``rate * (age + 1) ** growth``.

    A chunk that was never seen gets twice the largest known score (1 when none is known), so that it goes first and
    policies that look at the spread still work. A rate that is too high corrects itself, because the chunk goes; one
    that is too low grows with age; one that was seen as 0 stays 0, and only a maximal age sends that chunk again.

    Args:
        rates_C: norm per round, as last seen; from :func:`unseen` and :func:`observe`.
        ages_C: rounds that each chunk has waited; 0 if it went in the round before.
        growth: 1 when rounds push the same way; 0.5 when they are independent, as steps of a random walk.

    Example:
        >>> predicted(np.array([2, 3, np.inf], np.float32), np.array([3, 0, 5])).tolist()
        [8.0, 3.0, 16.0]
    """
    known_C = np.isfinite(rates_C)
    scores_C = np.where(known_C, rates_C, 0) * (ages_C + 1.0) ** growth
    first = 2 * scores_C.max() if known_C.any() else 0.0
    return np.where(known_C, scores_C, first or 1.0).astype(np.float32)


def observe(
    rates_C: NDArray[np.float32],
    mask_C: NDArray[np.bool_],
    norms_C: NDArray[np.float32],
    ages_C: NDArray[np.int32],
    growth: float = 1.0,
) -> NDArray[np.float32]:
    """New rates after a round: ``norm / (age + 1) ** growth`` where a chunk was sent, the old rate elsewhere.

    Args:
        rates_C: the rates so far.
        mask_C: the chunks that were sent.
        norms_C: norms of the aggregated update; read where ``mask_C`` is set.
        ages_C: rounds that each chunk had waited before this round's choice, as given to :func:`predicted`.
        growth: as given to :func:`predicted`.

    Example:
        >>> sent, norms, ages = np.array([True, False]), np.array([6, 0], np.float32), np.array([2, 7])
        >>> observe(unseen(2), sent, norms, ages).tolist()
        [2.0, inf]
    """
    return np.where(mask_C, norms_C / (ages_C + 1.0) ** growth, rates_C).astype(np.float32)
