"""F1 of all classes together: each answer counts as much as any other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.learning.metrics._counts import counts

if TYPE_CHECKING:
    from torch import Tensor

TARGETS = ("labels", "flags")


class f1_micro:  # noqa: N801 - the name that it has in settings
    """``2 tp / (2 tp + fp + fn)`` of the sums over classes; with one label a sample it is the accuracy.

    As scikit-learn's ``f1_score(average="micro", zero_division=0)``.
    """

    def parts(self, outputs: Tensor, targets: Tensor) -> NDArray[np.float64]:
        """True positives, answers and samples of each class, (3, classes)."""
        return counts(outputs, targets)

    def value(self, parts: NDArray[np.float64]) -> float:
        """Of the sums; 0 where there is neither a label nor an answer."""
        hits, answers, samples = parts.sum(axis=1)
        return float(2 * hits / (answers + samples)) if answers + samples else 0.0
