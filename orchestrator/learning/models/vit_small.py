"""ViT-S: a vision transformer with half of ViT-B's width; 22,050,664 values at 3 x 224 x 224 and 1,000 classes."""

from __future__ import annotations

from torch import nn

from fedchunk.orchestrator.learning.models.vit import vit
from fedchunk.orchestrator.settings.option_types import Share


def vit_small(input_shape: tuple[int, ...], num_classes: int, dropout: Share = 0.0) -> nn.Module:
    """For square images.

    Source: Touvron et al., "Training data-efficient image transformers" (2021), table 1, DeiT-S.

    Args:
        input_shape: channels, height and width.
        num_classes: number of outputs.
        dropout: share of values that is dropped in training.
    """
    return vit(input_shape, num_classes, num_heads=6, hidden_dim=384, mlp_dim=1536, dropout=dropout)
