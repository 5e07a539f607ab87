"""How much a chunk matters: one number per chunk. Larger goes first."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from orchestrator.chunking.layout import Layout


def norms(vector_P: NDArray[np.float32], layout: Layout) -> NDArray[np.float32]:
    """L2 norm of each chunk of ``vector_P``, summed in float64.

    Of a gradient this is the importance of FedPilot's page on chunking: ``importance(c) = ||gradient[c]||_2``.

    Example:
        >>> norms(np.array([3, 4, 0, 2], np.float32), Layout(4, 2)).tolist()
        [5.0, 2.0]
    """
    return np.sqrt(squared_norms(vector_P, layout)).astype(np.float32)


def squared_norms(vector_P: NDArray[np.float32], layout: Layout) -> NDArray[np.float64]:
    """Squared L2 norm of each chunk, in float64. Works block by block, so that the squares stay in cache."""
    sums_C = np.empty(layout.num_chunks)
    for first, last in _blocks(layout):
        start, stop = layout.bounds[first], layout.bounds[last]
        block = vector_P[start:stop].astype(np.float64)
        block *= block
        sums_C[first:last] = np.add.reduceat(block, layout.bounds[first:last] - start)
    return sums_C


def at_random(num_chunks: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Scores without meaning, uniform in [0, 1): the choice that every rule has to beat."""
    return rng.random(num_chunks, dtype=np.float32)


BLOCK_VALUES = 1 << 16
"""Values handled at once: 512 KiB of float64, which fits a core's second-level cache."""


def _blocks(layout: Layout) -> list[tuple[int, int]]:
    """Ranges of whole chunks of about ``BLOCK_VALUES`` values each (one chunk at least)."""
    per_block = max(1, BLOCK_VALUES * layout.num_chunks // layout.num_parameters)
    return [(c, min(c + per_block, layout.num_chunks)) for c in range(0, layout.num_chunks, per_block)]
