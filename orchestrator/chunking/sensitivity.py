"""How many chunks go: K from a percentage, from how the scores are spread, or from what the bytes allow.

The spread is the energy curve of the scores: with energies (squared scores) sorted downwards, ``y_k`` is the share of
their sum that the best k of C chunks hold; ``y_0 = 0``, ``y_C = 1``, and the curve is concave. When all scores are 0,
there is no curve; each rule says what it does then.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray


@lru_cache(maxsize=64)  # every client asks for the same few, and exact arithmetic is slow
def fixed(num_chunks: int, percentage: float) -> int:
    """``K = max(1, ceil(C * percentage / 100))``, in exact arithmetic.

    The percentage counts as the decimal number that was written: 1,000 chunks at 5.1 % are 51, not the 52 that
    binary rounding may give.

    Example:
        >>> fixed(50, 80), fixed(1000, 5.1), fixed(10, 0.001)
        (40, 51, 1)
    """
    return max(1, math.ceil(num_chunks * Fraction(str(percentage)) / 100))


def schedule(percentages: Sequence[float], round_index: int) -> float:
    """The percentage of round ``round_index`` (from 1); the last one stays.

    Such a list is the warm-up of Deep Gradient Compression (Lin et al. 2018): 25, 6.25, 1.5625, 0.4, 0.1.

    Example:
        >>> [schedule((25, 6.25, 1.5), round_index) for round_index in (1, 2, 3, 9)]
        [25, 6.25, 1.5, 1.5]
    """
    return percentages[min(round_index, len(percentages)) - 1]


def energy(scores_C: NDArray[np.float32], share: float, ceiling: int) -> int:
    """The smallest K whose best chunks hold ``share`` of the summed squared scores, at most ``ceiling``, at least 1.

    Keeping the share rho of the energy fixes the contraction of the choice: ``||x - C(x)||^2 <= (1 - rho) ||x||^2``
    (Stich et al. 2018, "Sparsified SGD with Memory", definition 2.1, read for one round's scores). 1 when all are 0.

    Example:
        >>> energy(np.array([3, 4, 0, 0], np.float32), 0.6, 4), energy(np.array([3, 4, 0, 0], np.float32), 0.65, 4)
        (1, 2)
    """
    held_C = _held(scores_C)
    needed = int(np.searchsorted(held_C, share * held_C[-1])) + 1
    return max(1, min(needed, ceiling))


def threshold(scores_C: NDArray[np.float32], value: float) -> int:
    """The number of chunks whose score is at least ``value``; 0 when none is.

    Under one budget for the whole run a constant threshold makes the smallest total error, and K floats: many chunks
    early, few late (Sahu et al. 2021, "Rethinking gradient sparsification as total error minimization", on
    coordinates with error feedback; best with ``accumulated`` scores).

    Example:
        >>> threshold(np.array([3, 1, 2], np.float32), 2), threshold(np.array([3, 1, 2], np.float32), 4)
        (2, 0)
    """
    return int(np.count_nonzero(scores_C >= value))


def knee(scores_C: NDArray[np.float32]) -> int | None:
    """The knee of the energy curve, ``argmax_k (y_k - k / C)``: where a chunk more holds less than an average chunk.

    Kneedle (Satopaa et al. 2011, "Finding a 'kneedle' in a haystack", S = 1). On a concave curve its search for a
    local maximum ends at the one maximum there is, so this is what the package kneed finds (a test compares them),
    without its imports of SciPy and Matplotlib in every client. None when the curve has no knee: when it rises above
    the diagonal by 1 / C or less, which is Kneedle's own condition, or by less than ``FLATTEST``, where the maximum
    is the noise of scores that are all alike; also when all are 0.

    Example:
        >>> knee(np.array([1, 9, 1, 8, 1, 1], np.float32)), knee(np.ones(6, np.float32))
        (2, None)
    """
    num_chunks, held_C = len(scores_C), _held(scores_C)
    if held_C[-1] == 0:
        return None
    above_C = held_C / held_C[-1] - np.arange(1, num_chunks + 1) / num_chunks
    if above_C.max() <= max(1 / num_chunks, FLATTEST):
        return None
    return int(above_C.argmax()) + 1


def utopia(scores_C: NDArray[np.float32]) -> int:
    """``argmin_k ||(sqrt(y_k), 1 - k / C) - (1, 1)||``, k >= 1: nearest to all of the direction for none of the bytes.

    FedPilot's ``calculate_optimal_sensitivity_percentage`` in closed form: it sets ever more of the smallest weights to
    0 and compares by cosine, 101 times. The cosine of a vector with what is kept of it is ``sqrt(y)``, so one sort does
    the same. Here on scores, for every client and round. Ties go to the smaller K. 1 when all scores are 0.

    Example:
        >>> utopia(np.array([1, 9, 1, 8, 1, 1], np.float32)), utopia(np.ones(100, np.float32))
        (1, 35)
    """
    num_chunks, held_C = len(scores_C), _held(scores_C)
    if held_C[-1] == 0:
        return 1
    missing_C = 1 - np.sqrt(held_C / held_C[-1])
    sent_C = np.arange(1, num_chunks + 1) / num_chunks
    return int(np.argmin(missing_C**2 + sent_C**2)) + 1


def budget(num_chunks: int, available_bytes: int, message_bytes: Callable[[int], int]) -> int:
    """The largest K of at most ``num_chunks`` with ``message_bytes(K) <= available_bytes``; 0 when there is none.

    A length that counts the K chunks that cost most keeps the promise whichever chunks are chosen. When every message's
    share is worked out anew from what remains, what one leaves unused falls to those after it, as in the token accounts
    of Danner and Hegedus (2018): a total is kept to and can be used up.

    Args:
        num_chunks: C.
        available_bytes: what this message may cost.
        message_bytes: what a message of K chunks costs at most; must not fall with K.

    Example:
        >>> budget(9, 850, lambda count: 100 + 250 * count), budget(9, 99, lambda count: 100 + 250 * count)
        (3, 0)
    """
    return max(0, bisect_right(range(num_chunks + 1), available_bytes, key=message_bytes) - 1)


FLATTEST = 0.05
"""A curve that stays within this of the diagonal is flat. Equal energies give 0, uniformly spread ones 0.25."""


def _held(scores_C: NDArray[np.float32]) -> NDArray[np.float64]:
    """Energy that the best 1, 2, ..., C chunks hold."""
    held_C: NDArray[np.float64] = np.cumsum(np.sort(np.square(scores_C.astype(np.float64)))[::-1])
    return held_C
