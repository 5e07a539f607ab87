"""Mean absolute difference of outputs and targets: less is made of what lies far off."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

TARGETS = ("values",)


def mean_absolute_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """The mean over a batch and the numbers of a sample.

    Args:
        outputs: (B, d).
        targets: (B, d).
    """
    return functional.l1_loss(outputs, targets)
