"""Cross entropy of the softmax of the outputs."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

TARGETS = ("labels",)


def cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """The mean over a batch, in nats.

    Args:
        outputs: (B, classes), logits.
        targets: (B,), the labels.
    """
    return functional.cross_entropy(outputs, targets)


def label_smoothing() -> float:
    """None: this is what can be trained many clients at once."""
    return 0.0
