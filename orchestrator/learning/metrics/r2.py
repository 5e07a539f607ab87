"""Share of the targets' variance that the outputs explain: 1 at best, 0 like their mean, below 0 worse."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.learning.metrics._errors import differences

if TYPE_CHECKING:
    from torch import Tensor

TARGETS = ("values",)


class r2:  # noqa: N801 - the name that it has in settings
    """``1 - sum (y - f)^2 / sum (y - mean y)^2`` of each number of a sample, the mean over them.

    As scikit-learn's ``r2_score``, also where targets do not vary: 1 if they are met exactly, else 0. Sums of squares
    are added in float64: the variance loses digits where a mean is more than 10^6 times the deviation.
    """

    def parts(self, outputs: Tensor, targets: Tensor) -> NDArray[np.float64]:
        """Of each number: how many, sum and sum of squares of the targets, sum of squared differences; (4, d)."""
        off, y = differences(outputs, targets), targets.double()
        sums = (y.new_full((y.shape[1],), len(y)), y.sum(dim=0), y.square().sum(dim=0), off.square().sum(dim=0))
        return np.stack([part.cpu().numpy() for part in sums])

    def value(self, parts: NDArray[np.float64]) -> float:
        """The mean over the numbers of a sample."""
        count_d, sum_d, squares_d, off_d = parts
        spread_d = squares_d - sum_d**2 / count_d
        varies_d = spread_d > 1e-12 * squares_d  # less is what rounding leaves of targets that are all the same
        share_d = np.divide(off_d, spread_d, out=(off_d > 0).astype(float), where=varies_d)
        return float((1 - share_d).mean())
