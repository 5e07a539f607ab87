"""At random, of sizes by a Dirichlet draw: dirichlet_beta says how uneven."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.learning.partitions._owners import Parts, divide, parts_of


def iid_diff_quantity(
    targets_S: NDArray[np.int64], number_of_clients: int, dirichlet_beta: float, rng: np.random.Generator
) -> Parts:
    """Each sample has one owner.

    One sample each is dealt first and the draw divides the rest: at a beta of 0.1 nearly every draw would otherwise
    leave somebody with nothing. Source of the kind: Li, Diao, Chen, He, "Federated Learning on Non-IID Data Silos"
    (ICDE 2022), "quantity skew".

    Args:
        targets_S: the labels of all samples.
        number_of_clients: N, how many parts to make.
        dirichlet_beta: concentration; lower is more uneven.
        rng: where to draw from.
    """
    draw_N = rng.dirichlet(np.full(number_of_clients, dirichlet_beta))
    sizes = 1 + divide(len(targets_S) - number_of_clients, draw_N)
    return parts_of(rng.permutation(np.repeat(np.arange(number_of_clients), sizes)), number_of_clients)
