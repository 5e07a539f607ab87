"""Weighted mean as in fedavg; what makes it FedProx is the proximal term in the clients' loss."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.methods.aggregation._means import weighted_mean

BY_SUMS = True
"""Sums of weighted values and of weights are enough for it, wherever they are added."""


def fedprox(values_NK: NDArray[np.float32], weights_N: NDArray[np.float64]) -> NDArray[np.float32]:
    """``sum_n w_n x_n / sum_n w_n``, the same bits as fedavg.

    FedProx (Li et al. 2020) aggregates as FedAvg does. Its proximal term ``mu / 2 ||w - w_global||^2`` is in the loss
    that clients minimise, so it is theirs to add; nothing of it is seen here.

    One contributor: its values.

    Args:
        values_NK: one row of values per client that sent the chunk, N >= 1.
        weights_N: the clients' weights, > 0: samples, or 1 each.

    Returns:
        The chunk's aggregate, (K,).

    Example:
        >>> fedprox(np.array([[1, 2], [5, 2]], np.float32), np.array([3.0, 1.0])).tolist()
        [2.0, 2.0]
    """
    return weighted_mean(values_NK, weights_N)
