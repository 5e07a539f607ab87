"""Median, value by value, without weights: withstands any minority of the clients that sent the chunk."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.methods.aggregation._means import middle_of


def median(values_NK: NDArray[np.float32], weights_N: NDArray[np.float64]) -> NDArray[np.float32]:
    """The coordinate-wise median (Yin et al. 2018, definition 1): every client counts the same, as in Flower.

    Weights are what a client says of itself, and a rule against clients that lie must not listen to them.

    Few contributors: of two, the mean of both; one gives its values. So it takes three to outvote one.

    Args:
        values_NK: one row of finite values per client that sent the chunk, N >= 1.
        weights_N: not used.

    Returns:
        The chunk's aggregate, (K,); the mean of the two in the middle when N is even.

    Example:
        >>> median(np.array([[1, 9], [2, 0], [90, 1]], np.float32), np.ones(3)).tolist()
        [2.0, 1.0]
    """
    return middle_of(values_NK)
