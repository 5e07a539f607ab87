"""sensitivity_percentage of the chunks, every round."""

from __future__ import annotations

from fedchunk.orchestrator.chunking import sensitivity


def fixed(num_chunks: int, sensitivity_percentage: float) -> tuple[int, str]:
    """K and the percentage."""
    return sensitivity.fixed(num_chunks, sensitivity_percentage), f"fixed {sensitivity_percentage:g}"
