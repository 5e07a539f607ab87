"""Norm of this round's change over the norm of the chunk's weights: layers of different scale become comparable."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.chunking import scoring
from fedchunk.orchestrator.chunking.layout import Layout


def relative(change_P: NDArray[np.float32], before_P: NDArray[np.float32], layout: Layout) -> NDArray[np.float32]:
    """The ratios, (C,)."""
    return scoring.relative(change_P, before_P, layout)
