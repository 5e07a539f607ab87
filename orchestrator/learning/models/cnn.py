"""Two convolutions and two dense layers: 1,626,442 values at 3 x 32 x 32 and 10 classes."""

from __future__ import annotations

from torch import nn

from fedchunk.orchestrator.learning.models._images import image_shape
from fedchunk.orchestrator.settings.option_types import Count


def cnn(input_shape: tuple[int, ...], num_classes: int, filters: Count = 32, width: Count = 128) -> nn.Module:
    """Two convolutions of 3 x 3, a pooling and two dense layers.

    Source: ``simple_cnn`` of apple/pfl-research's CIFAR10 benchmark (Granqvist et al. 2024), without its dropout.

    Args:
        input_shape: channels, height and width.
        num_classes: number of outputs.
        filters: channels of the first convolution; the second has twice as many.
        width: values of the hidden dense layer.
    """
    channels, rows, columns = image_shape("cnn", input_shape, minimum=6)
    features = 2 * filters * ((rows - 4) // 2) * ((columns - 4) // 2)
    return nn.Sequential(
        nn.Conv2d(channels, filters, kernel_size=3),
        nn.ReLU(),
        nn.Conv2d(filters, 2 * filters, kernel_size=3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(features, width),
        nn.ReLU(),
        nn.Linear(width, num_classes),
    )
