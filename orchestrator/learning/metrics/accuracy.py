"""Share of correct answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

TARGETS = ("labels",)


def accuracy(outputs: Tensor, targets: Tensor) -> tuple[Tensor, int]:
    """Correct answers, and how many there are.

    Args:
        outputs: (B, classes), logits.
        targets: (B,), labels.
    """
    return (outputs.argmax(dim=1) == targets).sum(), len(targets)
