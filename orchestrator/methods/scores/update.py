"""L2 norm of this round's change of the chunk, per byte that it costs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.chunking import scoring
from fedchunk.orchestrator.chunking.layout import Layout


def update(change_C: NDArray[np.float32], layout: Layout) -> NDArray[np.float32]:
    """The norms of the changes, weighed by size, (C,)."""
    return scoring.per_value(change_C, layout)
