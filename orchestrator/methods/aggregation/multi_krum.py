"""Weighted mean of the to_keep clients nearest to the others; the median where under 2 num_malicious + 3 sent."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.methods.aggregation._closeness import enough, ranking
from fedchunk.orchestrator.methods.aggregation._means import middle_of, weighted_mean
from fedchunk.orchestrator.settings.option_types import Count, CountOrNone


def multi_krum(
    values_NK: NDArray[np.float32], weights_N: NDArray[np.float64], num_malicious: CountOrNone = 0, to_keep: Count = 1
) -> NDArray[np.float32]:
    """The weighted mean of the ``to_keep`` clients with the best scores of Krum.

    Multi-Krum (Blanchard et al. 2017), weighted as Flower's ``MultiKrum``, with its default of 1, which is
    Krum. Equal scores: the first in client order.

    Few contributors: below N = 2 f + 3 clients the coordinate-wise median of those who sent the chunk, as in krum. And
    never more than N - f are kept, whatever ``to_keep`` says, so that f are left out of chunks that few sent, too;
    Flower would take everybody.

    Args:
        values_NK: one row of finite values per client that sent the chunk, N >= 1.
        weights_N: the clients' weights, > 0, for the mean of those kept; not for the choice.
        num_malicious: f, how many of the clients that sent the chunk may lie, >= 0.
        to_keep: how many clients the mean is of, >= 1.

    Returns:
        The chunk's aggregate, (K,).

    Example:
        >>> values_NK = np.array([[0], [2], [3], [5], [50]], np.float32)
        >>> multi_krum(values_NK, np.array([1.0, 1.0, 3.0, 1.0, 9.0]), num_malicious=1, to_keep=2).tolist()
        [2.75]
    """
    if not enough(len(values_NK), num_malicious):
        return middle_of(values_NK)
    best = ranking(values_NK, num_malicious)[: min(to_keep, len(values_NK) - num_malicious)]
    kept = np.sort(best)  # sums depend on the order of clients
    return weighted_mean(values_NK[kept], weights_N[kept])
