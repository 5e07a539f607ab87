"""Cross entropy of the sigmoid of each output: for each label whether it is there."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

TARGETS = ("flags",)


def binary_cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """The mean over a batch and its labels, in nats.

    Args:
        outputs: (B, L), logits.
        targets: (B, L), 0 or 1.
    """
    return functional.binary_cross_entropy_with_logits(outputs, targets)
