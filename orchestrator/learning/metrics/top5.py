"""Share of samples whose label is among the five largest outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

TARGETS = ("labels",)

BEST = 5


def top5(outputs: Tensor, targets: Tensor) -> tuple[Tensor, int]:
    """Such samples, and how many there are; with five classes or fewer it is all of them.

    Args:
        outputs: (B, classes), logits.
        targets: (B,), labels.
    """
    best = outputs.topk(min(BEST, outputs.shape[1]), dim=1).indices
    return (best == targets.unsqueeze(1)).sum(), len(targets)
