"""How far outputs are off, and how unlikely tokens were."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def differences(outputs: Tensor, targets: Tensor) -> Tensor:
    """Outputs less targets in float64, (B, d)."""
    return outputs.double() - targets.double()


def nats(outputs: Tensor, targets: Tensor) -> Tensor:
    """Cross entropy of all rows together, added in float64; whatever the loss of the settings is.

    Args:
        outputs: (N, V), logits.
        targets: (N,), tokens.
    """
    from torch.nn import functional

    return functional.cross_entropy(outputs.double(), targets, reduction="sum")
