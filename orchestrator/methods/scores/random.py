"""No importance at all, a draw: what every other score has to beat."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.chunking import scoring


def random(num_chunks: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Uniform in [0, 1), (C,)."""
    return scoring.at_random(num_chunks, rng)
