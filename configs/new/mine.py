"""A model and a score of one's own. A component gets what its parameters ask for by name, and its options."""

import numpy as np
from torch import nn


class TinyNet(nn.Module):
    """One hidden layer; ``input_shape`` and ``num_classes`` come from the data set, ``width`` from model_options."""

    def __init__(self, input_shape, num_classes, width=32):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(int(np.prod(input_shape)), width), nn.ReLU(), nn.Linear(width, num_classes)
        )

    def forward(self, x):
        """Logits of a batch."""
        return self.layers(x)


def signed(change_P, layout, power=1.0):
    """How far a chunk moved in one direction: |sum of its changes| to a power; larger goes first, (C,)."""
    return np.abs(layout.sums_C(change_P)) ** power
