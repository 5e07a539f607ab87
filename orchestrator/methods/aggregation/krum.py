"""Values of the one client nearest to the others (Krum); the median where fewer than 2 num_malicious + 3 sent."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.methods.aggregation._closeness import enough, ranking
from fedchunk.orchestrator.methods.aggregation._means import middle_of
from fedchunk.orchestrator.settings.option_types import CountOrNone


def krum(
    values_NK: NDArray[np.float32], weights_N: NDArray[np.float64], num_malicious: CountOrNone = 0
) -> NDArray[np.float32]:
    """The values of the client with the smallest sum of squared distances to its N - f - 2 nearest others.

    Krum (Blanchard et al. 2017), as Flower's ``Krum``; chunk by chunk, so the chosen client may differ from chunk to
    chunk. Equal scores: the first in client order.

    Few contributors: Krum is proven for N >= 2 f + 3 clients only. Below that, as its scores can be bought by liars
    that agree, the chunk is the coordinate-wise median of those who sent it: of two, the mean of both; of one, its
    values.

    Args:
        values_NK: one row of finite values per client that sent the chunk, N >= 1.
        weights_N: not used: a client's word for its own weight should not help it.
        num_malicious: f, how many of the clients that sent the chunk may lie, >= 0.

    Returns:
        The chunk's aggregate, (K,).

    Example:
        >>> krum(np.array([[0], [1], [1.5], [3], [50]], np.float32), np.ones(5), num_malicious=1).tolist()
        [1.0]
    """
    if not enough(len(values_NK), num_malicious):
        return middle_of(values_NK)
    chosen_K: NDArray[np.float32] = values_NK[ranking(values_NK, num_malicious)[0]].copy()
    return chosen_K
