"""Mean squared difference of outputs and targets."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

TARGETS = ("values",)


def mean_squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """The mean over a batch and the numbers of a sample.

    Args:
        outputs: (B, d).
        targets: (B, d).
    """
    return functional.mse_loss(outputs, targets)
