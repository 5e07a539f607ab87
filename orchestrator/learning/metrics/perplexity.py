"""How many tokens the model wavers between: e to the mean cross entropy of a token."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.learning.metrics._errors import nats

if TYPE_CHECKING:
    from torch import Tensor

TARGETS = ("labels",)
LOWER_IS_BETTER = True

MOST_NATS = 700.0
"""What float64 can still be e to the power of: a model that is further off is said to be that far off."""


class perplexity:  # noqa: N801 - the name that it has in settings
    """1 at best; as many as there are tokens where all are as likely."""

    def parts(self, outputs: Tensor, targets: Tensor) -> NDArray[np.float64]:
        """Sum of the cross entropy in nats, and of how many tokens."""
        return np.array([nats(outputs, targets).item(), len(targets)])

    def value(self, parts: NDArray[np.float64]) -> float:
        """e to the mean."""
        return math.exp(min(parts[0] / parts[1], MOST_NATS))
