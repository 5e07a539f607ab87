"""No optimizer: the model moves by the aggregated change itself (FedAvg)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def none(change_P: NDArray[np.float32]) -> tuple[NDArray[np.float32], dict[str, NDArray[Any]]]:
    """The change as it is (McMahan et al. 2017, FedAvg).

    Args:
        change_P: the aggregated change; 0 in chunks that nobody sent, which therefore stay as they are.

    Returns:
        ``change_P`` itself, not a copy, and an empty state.

    Example:
        >>> none(np.array([1, 0, -2], np.float32))[0].tolist()
        [1.0, 0.0, -2.0]
    """
    return change_P, {}
