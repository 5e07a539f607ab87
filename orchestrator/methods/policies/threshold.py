"""The chunks whose score is at least sensitivity_threshold: few rounds cost much, many cost little."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.chunking import sensitivity


def threshold(scores_C: NDArray[np.float32], sensitivity_threshold: float) -> tuple[int, str]:
    """K and the threshold."""
    return sensitivity.threshold(scores_C, sensitivity_threshold), f"threshold {sensitivity_threshold:g}"
