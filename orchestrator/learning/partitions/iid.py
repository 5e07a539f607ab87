"""Equal parts, at random."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.learning.partitions._owners import Parts, parts_of


def iid(targets_S: NDArray[np.int64], number_of_clients: int, rng: np.random.Generator) -> Parts:
    """Each sample has one owner; sizes differ by at most one.

    Args:
        targets_S: the labels of all samples.
        number_of_clients: N, how many parts to make.
        rng: where to draw from.
    """
    return parts_of(rng.permutation(np.arange(len(targets_S)) % number_of_clients), number_of_clients)
