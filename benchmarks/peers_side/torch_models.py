"""The models for peers that train with torch, written out: they have no fedchunk in their environments."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn


def build(facts: dict[str, Any]) -> nn.Sequential:
    """The workload's model, with parameters in the order of the exported vector."""
    channels, height, width = facts["image_shape"]
    inputs, classes = channels * height * width, facts["num_classes"]
    match facts["model_type"]:
        case "logistic":
            return nn.Sequential(nn.Flatten(), nn.Linear(inputs, classes))
        case "mlp":
            hidden = [nn.Linear(inputs, 200), nn.ReLU(), nn.Linear(200, 200), nn.ReLU()]
            return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(200, classes))
        case "cnn":
            convolutions = [nn.Conv2d(channels, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2)]
            features = 64 * math.prod((side - 4) // 2 for side in (height, width))
            dense = [nn.Linear(features, 128), nn.ReLU(), nn.Linear(128, classes)]
            return nn.Sequential(*convolutions, nn.Flatten(), *dense)
        case other:
            raise ValueError(f"model_type: got {other!r}, allowed are logistic, mlp, cnn")


def set_weights(module: nn.Module, weights_P: NDArray[np.float32]) -> None:
    """Copies a flat vector into the parameters."""
    vector_P = torch.from_numpy(weights_P)
    if len(vector_P) != sum(parameter.numel() for parameter in module.parameters()):
        raise ValueError(f"the model does not have the {len(vector_P):,} values of the exported weights")
    nn.utils.vector_to_parameters(vector_P.clone(), module.parameters())


def get_weights(module: nn.Module) -> NDArray[np.float32]:
    """The parameters as one vector."""
    return nn.utils.parameters_to_vector(module.parameters()).detach().numpy()
