"""Nearest to all of the direction for none of the bytes: FedPilot's optimal percentage, in closed form."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.chunking import sensitivity


def utopia(scores_C: NDArray[np.float32]) -> tuple[int, str]:
    """K; 0 where all scores are 0."""
    if not scores_C.any():
        return 0, "utopia, all scores 0"
    return sensitivity.utopia(scores_C), "utopia"
