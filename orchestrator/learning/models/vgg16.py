"""VGG-16 of torchvision: 138,357,544 values for 3 channels and 1,000 classes."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from fedchunk.orchestrator.learning.models._images import image_shape
from fedchunk.orchestrator.learning.models._torchvision import (
    Published,
    fit_channels,
    fresh,
    load_state,
    published_state,
)
from fedchunk.orchestrator.settings.option_types import Share

PUBLISHED = Published("vgg16", "vgg16", first="features.0", head="classifier.6")

MINIMUM = 32
"""VGG halves an image five times; less than 32 pixels leave nothing."""


def vgg16(input_shape: tuple[int, ...], num_classes: int, dropout: Share = 0.5) -> nn.Module:
    """For square images of 32 pixels a side and more.

    Source: Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition" (2015),
    table 1, D.

    Args:
        input_shape: channels, height and width.
        num_classes: number of outputs.
        dropout: share of the inputs of the second and of the last dense layer that is dropped in training.
    """
    channels, size, _ = image_shape("vgg16", input_shape, MINIMUM, square=True)
    module = fresh(PUBLISHED, num_classes, dropout=dropout)
    module.set_submodule("avgpool", _AveragePool(size // 32, 7))
    return fit_channels(module, PUBLISHED, channels)


def pretrained(module: nn.Module, input_shape: tuple[int, ...], num_classes: int, download: bool) -> None:
    """Puts the weights that torchvision publishes into the model."""
    load_state(module, PUBLISHED, published_state(PUBLISHED, download), input_shape[0], num_classes)


class _AveragePool(nn.Module):
    """``nn.AdaptiveAvgPool2d`` for square maps of known side, as two products of matrices.

    torch has no deterministic backward pass of its own for it on CUDA, and refuses in deterministic mode.
    """

    def __init__(self, side: int, target: int) -> None:
        super().__init__()
        weights = torch.zeros(target, side)
        for row in range(target):
            start, stop = row * side // target, math.ceil((row + 1) * side / target)
            weights[row, start:stop] = 1 / (stop - start)
        self.register_buffer("weights", weights, persistent=False)

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (S, c, side, side) to (S, c, target, target)."""
        weights = self.get_buffer("weights")
        return weights @ maps @ weights.T
