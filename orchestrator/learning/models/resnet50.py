"""ResNet-50 of torchvision: 25,557,032 values for 3 channels and 1,000 classes."""

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

PUBLISHED = Published("resnet50", "resnet50", first="conv1", head="fc")


def resnet50(input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    """For images of any size.

    Source: He et al., "Deep Residual Learning for Image Recognition" (2016), table 1.

    Args:
        input_shape: channels, height and width.
        num_classes: number of outputs.
    """
    channels, _, _ = image_shape("resnet50", input_shape)
    return fit_channels(fresh(PUBLISHED, num_classes), PUBLISHED, channels)


def pretrained(module: nn.Module, input_shape: tuple[int, ...], num_classes: int, download: bool) -> None:
    """Puts the weights that torchvision publishes into the model."""
    load_state(module, PUBLISHED, published_state(PUBLISHED, download), input_shape[0], num_classes)
