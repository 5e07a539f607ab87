"""Sums over ranges of a flat vector, on the device that has it: a few numbers cross to the host, not the vector."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, segment_reduce

from fedchunk.orchestrator.learning.transfer import host_copy, to_device


def squared_norms(rows_GP: Tensor, sizes_C: NDArray[np.int64]) -> NDArray[np.float64]:
    """Squared L2 norm of consecutive ranges of each row, added in float64.

    Args:
        rows_GP: vectors as rows, (G, P) float32.
        sizes_C: length of each range; they add up to P.

    Returns:
        (G, C), on the host.
    """
    lengths_C = to_device(sizes_C, rows_GP.device)
    sums = [segment_reduce(row_P.double().square_(), "sum", lengths=lengths_C, unsafe=True) for row_P in rows_GP]
    return np.stack([host_copy(sums_C) for sums_C in sums])
