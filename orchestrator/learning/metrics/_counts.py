"""How often each class was right and wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor


def counts(outputs: Tensor, targets: Tensor) -> NDArray[np.float64]:
    """True positives, answers and samples of each class, (3, classes).

    Args:
        outputs: (B, classes), logits. The largest is the answer; of flags, all above 0 are.
        targets: (B,), labels; or (B, classes), flags.
    """
    if targets.ndim == 2:
        answered, there = outputs > 0, targets > 0
        return np.stack([part.sum(dim=0).cpu().numpy() for part in (answered & there, answered, there)], dtype=float)
    answers_B, labels_B = outputs.argmax(dim=1).cpu().numpy(), targets.cpu().numpy()
    of = (labels_B[answers_B == labels_B], answers_B, labels_B)
    return np.stack([np.bincount(labels, minlength=outputs.shape[1]) for labels in of]).astype(np.float64)
