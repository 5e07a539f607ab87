"""As accumulated, in units of the layer: each parameter's values are divided by their root mean square first."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.chunking import scoring, weighted_scoring
from fedchunk.orchestrator.chunking.layout import Layout


def layerwise(
    withheld_P: NDArray[np.float32], parameter_bounds: NDArray[np.int64], layout: Layout
) -> NDArray[np.float32]:
    """The norms of what was not sent yet, this round's change included, weighed by size, (C,)."""
    return scoring.per_value(weighted_scoring.layerwise(withheld_P, parameter_bounds, layout), layout)
