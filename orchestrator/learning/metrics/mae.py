"""Mean absolute error."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedchunk.orchestrator.learning.metrics._errors import differences

if TYPE_CHECKING:
    from torch import Tensor

TARGETS = ("values",)
LOWER_IS_BETTER = True


def mae(outputs: Tensor, targets: Tensor) -> tuple[Tensor, int]:
    """The sum over all numbers, and how many there are.

    Args:
        outputs: (B, d).
        targets: (B, d).
    """
    off = differences(outputs, targets)
    return off.abs().sum(), off.numel()
