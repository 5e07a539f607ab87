"""The fewest chunks that hold sensitivity_energy of the summed squared scores."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.chunking import sensitivity


def energy(scores_C: NDArray[np.float32], sensitivity_energy: float) -> tuple[int, str]:
    """K and the share; 0 where all scores are 0: nothing is worth sending."""
    if not scores_C.any():
        return 0, "energy, all scores 0"
    return sensitivity.energy(scores_C, sensitivity_energy, len(scores_C)), f"energy {sensitivity_energy:g}"
