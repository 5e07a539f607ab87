"""Which chunks go: the K of the highest score, after those that have waited too long."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def best(scores_C: NDArray[np.float32], count: int) -> NDArray[np.bool_]:
    """Marks the ``count`` chunks of the highest score; among equal scores the lower index goes first.

    Example:
        >>> best(np.array([1, 3, 3, 2, 3], np.float32), 2).tolist()
        [False, True, True, False, False]
    """
    if not 0 < count < len(scores_C):
        return np.full(len(scores_C), count > 0)
    lasts_C = -scores_C
    threshold = np.partition(lasts_C, count - 1)[count - 1]
    if not threshold < np.inf:  # what diverged goes last, and nan is the last of all to numpy
        lasts_C = np.where(np.isnan(scores_C), np.inf, lasts_C)
        threshold = np.float32(np.inf)
    mask_C: NDArray[np.bool_] = lasts_C <= threshold
    if (excess := np.count_nonzero(mask_C) - count) > 0:
        mask_C[np.flatnonzero(lasts_C == threshold)[-excess:]] = False
    return mask_C


def best_with_oldest_first(
    scores_C: NDArray[np.float32], count: int, ages_C: NDArray[np.int32], max_age: int
) -> NDArray[np.bool_]:
    """Marks ``count`` chunks: first those that have waited ``max_age`` rounds, the oldest first, then the best.

    Ties go to the lower index. While ``count`` is at least the number of those overdue, no chunk ever waits longer than
    ``max_age`` rounds; the settings' rule of sensitivity raises it so far unless bytes forbid it. Some places by age
    and the others by magnitude is the rule of FAIR-k (Zhu et al. 2025, over-the-air federated learning).

    Args:
        scores_C: the scores.
        count: K.
        ages_C: rounds that each chunk has waited, before this choice; 0 if it went in the round before.
        max_age: rounds that a chunk may wait, at least 1.

    Example:
        >>> best_with_oldest_first(np.array([9, 1, 1, 8], np.float32), 2, np.array([0, 4, 3, 0]), 4).tolist()
        [True, True, False, False]
    """
    waited_C = np.where(ages_C >= max_age, ages_C, -1)
    mask_C = np.zeros(len(scores_C), dtype=np.bool_)
    mask_C[np.lexsort((-scores_C, -waited_C))[:count]] = True
    return mask_C
