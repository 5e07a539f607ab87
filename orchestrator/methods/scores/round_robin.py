"""Chunks in turn, the longest unsent first; each client begins at another chunk."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.chunking import scoring


def round_robin(ages_C: NDArray[np.int32], first_chunk: int) -> NDArray[np.float32]:
    """The chunk's place in the queue, counted from the back, (C,)."""
    return scoring.round_robin(ages_C, first_chunk)
