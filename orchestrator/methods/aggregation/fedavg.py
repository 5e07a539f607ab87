"""Weighted mean of the clients that sent the chunk (FedAvg); one client alone can pull it anywhere."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.methods.aggregation._means import weighted_mean

BY_SUMS = True
"""Sums of weighted values and of weights are enough for it, wherever they are added."""


def fedavg(values_NK: NDArray[np.float32], weights_N: NDArray[np.float64]) -> NDArray[np.float32]:
    """``sum_n w_n x_n / sum_n w_n`` (McMahan et al. 2017), added in client order in float64.

    One contributor: its values.

    Args:
        values_NK: one row of values per client that sent the chunk, N >= 1.
        weights_N: the clients' weights, > 0: samples, or 1 each.

    Returns:
        The chunk's aggregate, (K,).

    Example:
        >>> fedavg(np.array([[1, 2], [5, 2]], np.float32), np.array([3.0, 1.0])).tolist()
        [2.0, 2.0]
    """
    return weighted_mean(values_NK, weights_N)
