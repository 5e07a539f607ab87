"""Logistic regression: 7,850 values at 1 x 28 x 28 and 10 classes."""

from __future__ import annotations

import math

from torch import nn


def logistic(input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    """One linear layer over samples of any shape.

    Args:
        input_shape: of one sample.
        num_classes: number of outputs.
    """
    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(input_shape), num_classes))
