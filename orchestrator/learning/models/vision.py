"""torchvision's models, fitted to other channels, sizes and classes. The only importer of torchvision's models."""

from __future__ import annotations

import math
from pathlib import Path, PurePosixPath
from pickle import UnpicklingError
from typing import Any
from urllib.parse import urlparse

import torch
import torchvision.models
from fedchunk.orchestrator.core.errors import ConfigError, DataError, Fault
from torch import Tensor, nn

BUILDERS = {
    "resnet18": "resnet18",
    "resnet50": "resnet50",
    "mobilenet": "mobilenet_v2",
    "vgg16": "vgg16",
    "vit": "vit_b_16",
}
"""Our names to torchvision's."""

FIRST_CONVOLUTION = {
    "resnet18": "conv1",
    "resnet50": "conv1",
    "mobilenet": "features.0.0",
    "vgg16": "features.0",
    "vit": "conv_proj",
}
HEAD = {
    "resnet18": "fc",
    "resnet50": "fc",
    "mobilenet": "classifier.1",
    "vgg16": "classifier.6",
    "vit": "heads.head",
}
PRETRAINED_CLASSES = 1000

VGG_MINIMUM = 32
"""VGG halves an image five times; less than 32 pixels leave nothing."""

PUBLISHED_PATCH = 16
"""Side of the published vit's patches in pixels; also the largest that we cut."""

FEWEST_PATCHES, MOST_PATCHES = 7, 32
"""Patches along a side: fewer show the model hardly anything, more cost more than 1,024 tokens an image."""


def vision_model(model_type: str, image_shape: tuple[int, int, int], num_classes: int) -> nn.Module:
    """A torchvision model with fresh weights for images (c, h, w) and ``num_classes`` outputs.

    Raises:
        ConfigError: the model cannot work on images of this size.
    """
    channels, size = image_shape[0], image_shape[1]
    if model_type == "vit":
        module: nn.Module = torchvision.models.VisionTransformer(  # the sizes of ViT-B
            image_size=size, patch_size=patch_size(size), num_layers=12, num_heads=12, hidden_dim=768, mlp_dim=3072,
            num_classes=num_classes,
        )  # fmt: skip
    else:
        module = getattr(torchvision.models, BUILDERS[model_type])(weights=None, num_classes=num_classes)
    if model_type == "vgg16":
        if size < VGG_MINIMUM:
            raise _size_fault(f"'vgg16' needs {VGG_MINIMUM} pixels or more, got {size}: set it to {VGG_MINIMUM}")
        module.set_submodule("avgpool", AveragePool(size // 32, 7))
    if channels != 3:
        _replace_first_convolution(module, model_type, channels)
    return module


def patch_size(size: int) -> int:
    """Side of vit's patches: the largest divisor of ``size``, at most 16, that leaves at least 7 patches a side.

    16 at 224 pixels, as published; 4 at 28 and 32; 1 at 8.

    Raises:
        ConfigError: the image would be cut into more than 32 patches a side.
    """
    largest = max(1, min(PUBLISHED_PATCH, size // FEWEST_PATCHES))
    patch = next(divisor for divisor in range(largest, 0, -1) if size % divisor == 0)
    if size // patch > MOST_PATCHES:
        raise _size_fault(
            f"'vit' would cut {size} pixels into {size // patch} patches a side, at most {MOST_PATCHES} are allowed: "
            f"set it to a multiple of 16 up to {PUBLISHED_PATCH * MOST_PATCHES}"
        )
    return patch


class AveragePool(nn.Module):
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


def load_pretrained(
    module: nn.Module, model_type: str, image_shape: tuple[int, int, int], num_classes: int, download: bool
) -> None:
    """Puts torchvision's published weights into a model of :func:`vision_model`, in place.

    Where the number of channels differs, the first convolution's weights are averaged over colours and scaled, so that
    a grey image excites it as before. Where the number of classes differs, the last layer stays fresh.

    Raises:
        ConfigError: vit cuts images of this size into patches that the published weights do not fit.
        DataError: the weights are not on disk and ``download`` is false, or the download failed.
    """
    state = _published_state(model_type, download)
    if model_type == "vit":
        state = _fit_positions(state, image_shape[1])
    channels = image_shape[0]
    first = f"{FIRST_CONVOLUTION[model_type]}.weight"
    if channels != 3:
        state[first] = state[first].mean(dim=1, keepdim=True).expand(-1, channels, -1, -1) * (3 / channels)
    if num_classes != PRETRAINED_CLASSES:
        state = {name: values for name, values in state.items() if not name.startswith(HEAD[model_type] + ".")}
    module.load_state_dict(module.state_dict() | state)


def _published_state(model_type: str, download: bool) -> dict[str, Tensor]:
    weights: Any = torchvision.models.get_model_weights(BUILDERS[model_type]).DEFAULT
    file = Path(torch.hub.get_dir()) / "checkpoints" / PurePosixPath(urlparse(weights.url).path).name
    if not file.exists() and not download:
        raise DataError(
            f"pretrained weights of {model_type!r} are missing: looked for {file}; put the file there, set "
            "download: true, or set pretrained_models: false"
        )
    try:
        return dict(weights.get_state_dict(progress=False, check_hash=True, weights_only=True, map_location="cpu"))
    except (OSError, RuntimeError) as failure:
        raise DataError(f"pretrained weights of {model_type!r} cannot be had for {file}: {failure}") from failure
    except (UnpicklingError, EOFError) as failure:
        raise DataError(f"pretrained weights of {model_type!r}: {file} holds no weights; delete it") from failure


def _fit_positions(state: dict[str, Tensor], size: int) -> dict[str, Tensor]:
    if patch_size(size) != PUBLISHED_PATCH:
        raise _size_fault(
            f"the pretrained 'vit' has patches of {PUBLISHED_PATCH} pixels, which do not fit {size}: set it to a "
            f"multiple of {PUBLISHED_PATCH} from {PUBLISHED_PATCH * FEWEST_PATCHES} up"
        )
    interpolate = torchvision.models.vision_transformer.interpolate_embeddings
    return dict(interpolate(image_size=size, patch_size=PUBLISHED_PATCH, model_state=state))


def _replace_first_convolution(module: nn.Module, model_type: str, channels: int) -> None:
    """The same convolution for another number of channels, initialised as torchvision initialises it."""
    old: Any = module.get_submodule(FIRST_CONVOLUTION[model_type])
    new = nn.Conv2d(
        channels, old.out_channels, old.kernel_size, old.stride, old.padding, bias=old.bias is not None
    )  # fmt: skip
    if model_type == "vit":
        nn.init.trunc_normal_(new.weight, std=math.sqrt(1 / (channels * old.kernel_size[0] * old.kernel_size[1])))
    else:
        nn.init.kaiming_normal_(new.weight, mode="fan_out", nonlinearity="relu")
    if new.bias is not None:
        nn.init.zeros_(new.bias)
    module.set_submodule(FIRST_CONVOLUTION[model_type], new)


def _size_fault(message: str) -> ConfigError:
    return ConfigError([Fault(where="", key="transform_input_size", message=message)])
