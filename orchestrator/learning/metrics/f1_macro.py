"""F1 of each class, averaged: rare classes count as much as frequent ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.learning.metrics._counts import counts

if TYPE_CHECKING:
    from torch import Tensor

TARGETS = ("labels", "flags")


class f1_macro:  # noqa: N801 - the name that it has in settings
    """``2 tp / (2 tp + fp + fn)``, the mean over the classes that samples or answers have.

    As scikit-learn's ``f1_score(average="macro", zero_division=0)``; of flags, with ``zero_division=nan``.
    """

    def parts(self, outputs: Tensor, targets: Tensor) -> NDArray[np.float64]:
        """True positives, answers and samples of each class, (3, classes)."""
        return counts(outputs, targets)

    def value(self, parts: NDArray[np.float64]) -> float:
        """The mean. Answers and samples of a class are tp + fp and tp + fn."""
        hits_C, answers_C, samples_C = parts
        present_C = answers_C + samples_C > 0
        if not present_C.any():  # flags that are never there, and never answered
            return 0.0
        return float((2 * hits_C[present_C] / (answers_C + samples_C)[present_C]).mean())
