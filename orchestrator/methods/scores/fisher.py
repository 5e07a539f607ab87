"""Norm of gradient times weight: the chunk's weights by the diagonal Fisher information of the round's gradient."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.chunking import weighted_scoring
from fedchunk.orchestrator.chunking.layout import Layout


def fisher(gradient_P: NDArray[np.float32], before_P: NDArray[np.float32], layout: Layout) -> NDArray[np.float32]:
    """The norms, (C,)."""
    return weighted_scoring.fisher_weighted(gradient_P, before_P, layout)
