"""Mean loss of a sample: cross entropy, or the settings' loss where that is one's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

LOWER_IS_BETTER = True


def loss(loss_sum: Tensor, targets: Tensor) -> tuple[Tensor, int]:
    """The loss of a batch times its samples, and the samples.

    Args:
        loss_sum: float64, as evaluation adds it.
        targets: (B,), labels.
    """
    return loss_sum, len(targets)
