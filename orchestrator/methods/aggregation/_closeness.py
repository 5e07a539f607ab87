"""Krum's score: how far a client's values are from those nearest to them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BLOCK_VALUES = 1 << 18
"""Values of all clients together that are converted to float64 at once: 2 MiB, which stay in cache."""


def enough(num_clients: int, num_malicious: int) -> bool:
    """Whether Krum's promise holds: N >= 2 f + 3 (Blanchard et al. 2017: 2 f + 2 < n).

    With f + 3 <= N < 2 f + 3 scores can be computed, too, but at N <= 2 f + 1 the liars are enough to be each other's
    nearest: when they all send the same, their score is 0 and they win. The median still has an honest majority there.
    """
    return num_clients >= 2 * num_malicious + 3


def ranking(values_NK: NDArray[np.float32], num_malicious: int) -> NDArray[np.intp]:
    """Clients by Krum's score, the best first: the summed squared distances to the N - f - 2 nearest others.

    Equal scores keep client order: of the two closest to each other among f + 3 clients, the first always wins.
    Flower leaves such ties to numpy's sort.

    Args:
        values_NK: one row of values per client, N >= f + 3.
        num_malicious: f.

    Returns:
        Indices of clients, (N,).
    """
    nearest = len(values_NK) - num_malicious - 2
    sorted_NN = np.sort(squared_distances(values_NK), axis=1)
    scores_N = sorted_NN[:, 1 : 1 + nearest].sum(axis=1)  # the first is the client itself, at 0
    return np.argsort(scores_N, kind="stable")


def squared_distances(values_NK: NDArray[np.float32]) -> NDArray[np.float64]:
    """Squared Euclidean distances between all clients, (N, N): symmetric, 0 on the diagonal, never below 0.

    ``||x||^2 + ||y||^2 - 2 x.y`` in float64, block by block, after the clients' mean was taken off. The difference of
    large numbers loses digits when clients differ by little from each other and by much from 0; without their mean,
    the numbers are no larger than the distances.
    """
    num_clients, num_values = values_NK.shape
    products_NN = np.zeros((num_clients, num_clients))
    step = max(1, BLOCK_VALUES // num_clients)
    for start in range(0, num_values, step):
        block = values_NK[:, start : start + step].astype(np.float64)
        block -= block.mean(axis=0)
        products_NN += block @ block.T
    squares_N = products_NN.diagonal()
    distances_NN = np.maximum(squares_N[:, None] + squares_N - 2 * products_NN, 0.0)
    np.fill_diagonal(distances_NN, 0.0)
    return distances_NN
