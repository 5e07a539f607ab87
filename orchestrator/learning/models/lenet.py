"""LeNet-5 with ReLU and max pooling: 61,706 values at 1 x 28 x 28 or 1 x 32 x 32 and 10 classes."""

from __future__ import annotations

from torch import nn

from fedchunk.orchestrator.learning.models._images import image_shape


def lenet(input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    """Two convolutions of 5 x 5, each pooled, and three dense layers.

    Source: LeCun et al., "Gradient-Based Learning Applied to Document Recognition" (1998), figure 2. It was made for 32
    pixels; smaller images are padded before a convolution, so that something is left to see after it.

    Args:
        input_shape: channels, height and width.
        num_classes: number of outputs.
    """
    channels, height, width = image_shape("lenet", input_shape, minimum=4)
    first = 0 if min(height, width) >= 32 else 2
    sides = [(side - 4 + 2 * first) // 2 for side in (height, width)]
    second = 0 if min(sides) >= 14 else 2
    rows, columns = [(side - 4 + 2 * second) // 2 for side in sides]
    return nn.Sequential(
        nn.Conv2d(channels, 6, kernel_size=5, padding=first),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, kernel_size=5, padding=second),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(16 * rows * columns, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, num_classes),
    )
