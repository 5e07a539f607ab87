"""A model: a small network with a shortcut, of any torch parts. Frozen parameters would not be exchanged.

model_type: ./model.py:ShortcutNet
model_options: {width: 24}
"""

import math

from torch import nn


class ShortcutNet(nn.Module):
    """``input_shape`` and ``num_classes`` come from the data set, ``width`` from ``model_options``."""

    def __init__(self, input_shape, num_classes, width=32):
        super().__init__()
        self.first = nn.Sequential(nn.Flatten(), nn.Linear(math.prod(input_shape), width), nn.ReLU())
        self.second = nn.Sequential(nn.Linear(width, width), nn.ReLU())
        self.last = nn.Linear(width, num_classes)

    def forward(self, x):
        """Logits of a batch."""
        hidden = self.first(x)
        return self.last(hidden + self.second(hidden))
