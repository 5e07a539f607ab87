"""Root of the mean squared error."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.learning.metrics._errors import differences

if TYPE_CHECKING:
    from torch import Tensor

TARGETS = ("values",)
LOWER_IS_BETTER = True


class rmse:  # noqa: N801 - the name that it has in settings
    """In the unit of the targets; of several numbers of a sample it is the root of the mean over all of them."""

    def parts(self, outputs: Tensor, targets: Tensor) -> NDArray[np.float64]:
        """Sum of squares, and of how many."""
        off = differences(outputs, targets)
        return np.array([off.square().sum().item(), off.numel()])

    def value(self, parts: NDArray[np.float64]) -> float:
        """The root."""
        return math.sqrt(parts[0] / parts[1])
