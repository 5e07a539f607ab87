"""torchvision's models, fitted to other channels and classes, and their published weights.

The only importer of torchvision's models. What differs from model to model each model's own file says.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from pickle import UnpicklingError
from typing import Any
from urllib.parse import urlparse

import torch
import torchvision.models
from torch import Tensor, nn

from fedchunk.orchestrator.core.errors import ConfigError, DataError, Fault

PUBLISHED_CHANNELS, PUBLISHED_CLASSES = 3, 1000
"""Of ImageNet, which the published weights are of."""


@dataclass(frozen=True)
class Published:
    """Where things are in one of torchvision's models."""

    name: str
    """Ours, for messages."""
    builder: str
    """torchvision's."""
    first: str
    """Its first convolution."""
    head: str
    """Its last layer."""


def fresh(published: Published, num_classes: int, **options: Any) -> nn.Module:
    """A model with new weights for colour images."""
    builder = getattr(torchvision.models, published.builder)
    module: nn.Module = builder(weights=None, num_classes=num_classes, **options)
    return module


def fit_channels(module: nn.Module, published: Published, channels: int) -> nn.Module:
    """The model with a first convolution for another number of channels, initialised as torchvision initialises it."""
    if channels == PUBLISHED_CHANNELS:
        return module
    new = _first_convolution(module, published, channels)
    nn.init.kaiming_normal_(new.weight, mode="fan_out", nonlinearity="relu")
    return _replaced(module, published, new)


def fit_patches(module: nn.Module, published: Published, channels: int) -> nn.Module:
    """Likewise for a convolution that cuts an image into patches."""
    if channels == PUBLISHED_CHANNELS:
        return module
    new = _first_convolution(module, published, channels)
    nn.init.trunc_normal_(new.weight, std=math.sqrt(1 / (channels * new.kernel_size[0] * new.kernel_size[1])))
    return _replaced(module, published, new)


def _first_convolution(module: nn.Module, published: Published, channels: int) -> nn.Conv2d:
    old: Any = module.get_submodule(published.first)
    return nn.Conv2d(
        channels, old.out_channels, old.kernel_size, old.stride, old.padding, bias=old.bias is not None
    )  # fmt: skip


def _replaced(module: nn.Module, published: Published, new: nn.Conv2d) -> nn.Module:
    if new.bias is not None:
        nn.init.zeros_(new.bias)
    module.set_submodule(published.first, new)
    return module


def published_state(published: Published, download: bool) -> dict[str, Tensor]:
    """torchvision's published weights by name.

    Raises:
        DataError: they are not on disk and ``download`` is false, or the download failed, or the file is broken.
    """
    weights: Any = torchvision.models.get_model_weights(published.builder).DEFAULT
    file = Path(torch.hub.get_dir()) / "checkpoints" / PurePosixPath(urlparse(weights.url).path).name
    if not file.exists() and not download:
        raise DataError(
            f"pretrained weights of {published.name!r} are missing: looked for {file}; put the file there, set "
            "download: true, or set pretrained_models: false"
        )
    try:
        return dict(weights.get_state_dict(progress=False, check_hash=True, weights_only=True, map_location="cpu"))
    except (OSError, RuntimeError) as failure:
        raise DataError(f"pretrained weights of {published.name!r} cannot be had for {file}: {failure}") from failure
    except (UnpicklingError, EOFError) as failure:
        raise DataError(f"pretrained weights of {published.name!r}: {file} holds no weights; delete it") from failure


def load_state(
    module: nn.Module, published: Published, state: dict[str, Tensor], channels: int, num_classes: int
) -> None:
    """Puts published weights into a fitted model, in place.

    Where the number of channels differs, the first convolution's weights are averaged over colours and scaled, so that
    a grey image excites it as before. Where the number of classes differs, the last layer stays fresh.

    Raises:
        ConfigError: the model has options with which the weights do not fit.
    """
    first = f"{published.first}.weight"
    if channels != PUBLISHED_CHANNELS:
        state[first] = state[first].mean(dim=1, keepdim=True).expand(-1, channels, -1, -1) * (3 / channels)
    if num_classes != PUBLISHED_CLASSES:
        state = {name: values for name, values in state.items() if not name.startswith(f"{published.head}.")}
    own = module.state_dict()
    other = [name for name, values in state.items() if name not in own or own[name].shape != values.shape]
    if other:
        message = f"the published weights of {published.name!r} do not fit ({other[0]}): leave its sizes as they are"
        raise ConfigError([Fault("", "model_options", message)])
    module.load_state_dict(own | state)
