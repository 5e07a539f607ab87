"""Recall of each class: the share of its samples that is answered right."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.learning.metrics._counts import counts

if TYPE_CHECKING:
    from torch import Tensor

TARGETS = ("labels", "flags")


class per_class:  # noqa: N801 - the name that it has in settings
    """``tp / (tp + fn)`` of each class that the test set has samples of."""

    def parts(self, outputs: Tensor, targets: Tensor) -> NDArray[np.float64]:
        """True positives, answers and samples of each class, (3, classes)."""
        return counts(outputs, targets)

    def value(self, parts: NDArray[np.float64]) -> dict[str, float]:
        """By the class's number."""
        hits_C, _, samples_C = parts
        return {str(label): float(hits_C[label] / samples_C[label]) for label in np.flatnonzero(samples_C)}
