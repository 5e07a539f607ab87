"""Mean, value by value, without the share beta of the lowest and of the highest (at least one each of 3 or more)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.methods.aggregation._means import mean_of_middle
from fedchunk.orchestrator.settings.option_types import Minority


def trimmed_mean(
    values_NK: NDArray[np.float32], weights_N: NDArray[np.float64], beta: Minority = 0.2
) -> NDArray[np.float32]:
    """The coordinate-wise trimmed mean (Yin et al. 2018, definition 2): every client counts the same, as in Flower.

    ``floor(beta N)`` values fall away at each end, as in Flower, but at least one when ``beta > 0`` and N >= 3.
    Flower would trim nothing below N = 1 / beta, and a chunk may be sent by few: then one client could pull the mean
    anywhere, in the very chunks it picks. As ``beta < 0.5``, somebody always remains.

    Few contributors: of three or four, at the default, the median; of two, the mean of both; one gives its values.

    Args:
        values_NK: one row of finite values per client that sent the chunk, N >= 1.
        weights_N: not used, see :func:`orchestrator.methods.aggregation.median.median`.
        beta: the share that falls away at each end, 0 <= beta < 0.5; 0 is the mean without weights.

    Returns:
        The chunk's aggregate, (K,).

    Example:
        >>> trimmed_mean(np.array([[1], [2], [3], [7], [99]], np.float32), np.ones(5)).tolist()
        [4.0]
    """
    num_clients = len(values_NK)
    least = 1 if beta > 0 and num_clients >= 3 else 0
    return mean_of_middle(values_NK, max(int(beta * num_clients), least))
