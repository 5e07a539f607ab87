"""Two hidden layers of 200: 55,210 values for 8 x 8 digits, 199,210 for 28 x 28 pixels."""

from __future__ import annotations

import math
from itertools import pairwise

from torch import nn

from fedchunk.orchestrator.settings.option_types import Count, CountOrNone


def mlp(input_shape: tuple[int, ...], num_classes: int, width: Count = 200, depth: CountOrNone = 2) -> nn.Module:
    """A multilayer perceptron with ReLU over samples of any shape: images, or the rows of a table.

    Source: McMahan et al., "Communication-Efficient Learning of Deep Networks from Decentralized Data" (2017), the 2NN.

    Args:
        input_shape: of one sample.
        num_classes: number of outputs.
        width: values of a hidden layer.
        depth: hidden layers.
    """
    widths = [math.prod(input_shape), *(width for _ in range(depth))]
    layers: list[nn.Module] = [nn.Flatten()]
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(widths[-1], num_classes))
