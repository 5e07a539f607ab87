"""What the rules share: the weighted mean, and values in ascending order."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def weighted_mean(values_NK: NDArray[np.float32], weights_N: NDArray[np.float64]) -> NDArray[np.float32]:
    """``sum_n w_n x_n / sum_n w_n``, added in client order in float64: the bits of ``ChunkSum``'s mean."""
    sums_K, weighted_K, total = np.zeros(values_NK.shape[1]), np.empty(values_NK.shape[1]), 0.0
    for values_K, weight in zip(values_NK, weights_N.tolist(), strict=True):
        np.copyto(weighted_K, values_K)  # and then the product: faster than a product that converts on its way
        weighted_K *= weight
        sums_K += weighted_K
        total += weight
    sums_K /= total
    return sums_K.astype(np.float32)


def mean_of_middle(values_NK: NDArray[np.float32], cut: int) -> NDArray[np.float32]:
    """The mean, value by value, of all but the ``cut`` lowest and the ``cut`` highest; 2 cut < N.

    Added in float64 in ascending order, so the bits do not depend on the order of clients. numpy sorts short columns
    of float32 faster than it picks single ranks.
    """
    sorted_NK = np.sort(values_NK, axis=0)
    middle = sorted_NK[cut : len(sorted_NK) - cut]
    sums_K = np.zeros(values_NK.shape[1])
    for values_K in middle:
        sums_K += values_K
    sums_K /= len(middle)
    return sums_K.astype(np.float32)


def middle_of(values_NK: NDArray[np.float32]) -> NDArray[np.float32]:
    """The median, value by value: the middle one, or the mean of the two in the middle."""
    return mean_of_middle(values_NK, (len(values_NK) - 1) // 2)
