"""Which chunks go: the K of the highest score."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def best(scores_C: NDArray[np.float32], count: int) -> NDArray[np.bool_]:
    """Marks the ``count`` chunks of the highest score; among equal scores the lower index goes first.

    Example:
        >>> best(np.array([1, 3, 3, 2, 3], np.float32), 2).tolist()
        [False, True, True, False, False]
    """
    mask_C = np.zeros(len(scores_C), dtype=np.bool_)
    mask_C[np.argsort(-scores_C, kind="stable")[:count]] = True
    return mask_C
