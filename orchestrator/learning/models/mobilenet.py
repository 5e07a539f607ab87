"""MobileNetV2 of torchvision: 3,504,872 values for 3 channels and 1,000 classes."""

from __future__ import annotations

from torch import nn

from fedchunk.orchestrator.learning.models._images import image_shape
from fedchunk.orchestrator.learning.models._torchvision import (
    Published,
    fit_channels,
    fresh,
    load_state,
    published_state,
)
from fedchunk.orchestrator.settings.option_types import Positive, Share

PUBLISHED = Published("mobilenet", "mobilenet_v2", first="features.0.0", head="classifier.1")

MINIMUM = 17
"""Smaller images are maps of one pixel before the last halving, and little is learned. After four epochs over 600
digits, resized to 8, 12, 16, 17, 20, 24 and 32 pixels: 21, 44, 41, 75, 87, 73 and 76 % right at the best of the
learning rates tried."""


def mobilenet(
    input_shape: tuple[int, ...], num_classes: int, width_mult: Positive = 1.0, dropout: Share = 0.2
) -> nn.Module:
    """For images of 17 pixels a side and more.

    Source: Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks" (2018), table 2.

    Args:
        input_shape: channels, height and width.
        num_classes: number of outputs.
        width_mult: factor on the channels of every layer.
        dropout: share of the last layer's inputs that is dropped in training.
    """
    channels, _, _ = image_shape("mobilenet", input_shape, MINIMUM)
    module = fresh(PUBLISHED, num_classes, width_mult=width_mult, dropout=dropout)
    return fit_channels(module, PUBLISHED, channels)


def pretrained(module: nn.Module, input_shape: tuple[int, ...], num_classes: int, download: bool) -> None:
    """Puts the weights that torchvision publishes into the model."""
    load_state(module, PUBLISHED, published_state(PUBLISHED, download), input_shape[0], num_classes)
