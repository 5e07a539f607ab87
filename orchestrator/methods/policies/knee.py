"""Up to the knee of the scores' energy curve (Kneedle): where a chunk more holds less than an average one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.chunking import sensitivity


def knee(scores_C: NDArray[np.float32]) -> tuple[int, str]:
    """K; all chunks where the curve has no knee, 0 where all scores are 0."""
    if not scores_C.any():
        return 0, "knee, all scores 0"
    found = sensitivity.knee(scores_C)
    return (len(scores_C), "knee, flat") if found is None else (found, "knee")
