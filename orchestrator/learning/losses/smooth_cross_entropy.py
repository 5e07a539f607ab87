"""Cross entropy with a part of each label spread over all classes."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from fedchunk.orchestrator.settings.option_types import Share

TARGETS = ("labels",)


def smooth_cross_entropy(outputs: Tensor, targets: Tensor, smoothing: Share = 0.1) -> Tensor:
    """The mean over a batch, in nats.

    Source: Szegedy et al., "Rethinking the Inception Architecture" (2016), section 7.

    Args:
        outputs: (B, classes), logits.
        targets: (B,), the labels.
        smoothing: the part that is spread, 0 to 1.
    """
    return functional.cross_entropy(outputs, targets, label_smoothing=label_smoothing(smoothing))


def label_smoothing(smoothing: Share = 0.1) -> float:
    """The part that is spread."""
    return smoothing
