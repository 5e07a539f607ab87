"""The percentages of sensitivity_schedule, one for each of the first rounds; the last one stays."""

from __future__ import annotations

from collections.abc import Sequence

from fedchunk.orchestrator.chunking import sensitivity


def schedule(num_chunks: int, round_index: int, sensitivity_schedule: Sequence[float]) -> tuple[int, str]:
    """K and the round's percentage."""
    percentage = sensitivity.schedule(sensitivity_schedule, round_index)
    return sensitivity.fixed(num_chunks, percentage), f"schedule {percentage:g}"
