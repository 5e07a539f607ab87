"""L2 norm of all that the chunk has changed since it was last sent, per byte: importance and staleness in one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.chunking import scoring
from fedchunk.orchestrator.chunking.layout import Layout


def accumulated(withheld_C: NDArray[np.float32], layout: Layout) -> NDArray[np.float32]:
    """The norms of what was not sent yet, this round's change included, weighed by size, (C,)."""
    return scoring.per_value(withheld_C, layout)
