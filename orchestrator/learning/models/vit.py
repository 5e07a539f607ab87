"""ViT-B of torchvision, with patches that fit the image: 86,567,656 values at 3 x 224 x 224 and 1,000 classes."""

from __future__ import annotations

import torchvision.models
from torch import Tensor, nn

from fedchunk.orchestrator.learning.models._images import image_shape, size_fault
from fedchunk.orchestrator.learning.models._torchvision import Published, fit_patches, load_state, published_state
from fedchunk.orchestrator.settings.option_types import Count, Share

PUBLISHED = Published("vit", "vit_b_16", first="conv_proj", head="heads.head")

PUBLISHED_PATCH = 16
"""Side of the published model's patches in pixels; also the largest that we cut."""

FEWEST_PATCHES, MOST_PATCHES = 7, 32
"""Patches along a side: fewer show the model hardly anything, more cost more than 1,024 tokens an image."""


def vit(
    input_shape: tuple[int, ...],
    num_classes: int,
    num_layers: Count = 12,
    num_heads: Count = 12,
    hidden_dim: Count = 768,
    mlp_dim: Count = 3072,
    dropout: Share = 0.0,
) -> nn.Module:
    """For square images.

    Source: Dosovitskiy et al., "An Image is Worth 16x16 Words" (2021), table 1, ViT-Base.

    Args:
        input_shape: channels, height and width.
        num_classes: number of outputs.
        num_layers: blocks of the encoder.
        num_heads: heads of each block's attention.
        hidden_dim: length of a token.
        mlp_dim: hidden values of each block's dense layers.
        dropout: share of values that is dropped in training.
    """
    channels, size, _ = image_shape("vit", input_shape, square=True)
    module: nn.Module = torchvision.models.VisionTransformer(
        image_size=size, patch_size=_patch_size(size), num_layers=num_layers, num_heads=num_heads,
        hidden_dim=hidden_dim, mlp_dim=mlp_dim, dropout=dropout, num_classes=num_classes,
    )  # fmt: skip
    return fit_patches(module, PUBLISHED, channels)


def pretrained(module: nn.Module, input_shape: tuple[int, ...], num_classes: int, download: bool) -> None:
    """Puts the weights that torchvision publishes into the model; its positions are interpolated."""
    state = _fit_positions(published_state(PUBLISHED, download), input_shape[1])
    load_state(module, PUBLISHED, state, input_shape[0], num_classes)


def _patch_size(size: int) -> int:
    """Side of the patches: the largest divisor of ``size``, at most 16, that leaves at least 7 patches a side.

    16 at 224 pixels, as published; 4 at 28 and 32; 1 at 8.

    Raises:
        ConfigError: the image would be cut into more than 32 patches a side.
    """
    largest = max(1, min(PUBLISHED_PATCH, size // FEWEST_PATCHES))
    patch = next(divisor for divisor in range(largest, 0, -1) if size % divisor == 0)
    if size // patch > MOST_PATCHES:
        raise size_fault(
            f"'vit' would cut {size} pixels into {size // patch} patches a side, at most {MOST_PATCHES} are allowed: "
            f"set it to a multiple of 16 up to {PUBLISHED_PATCH * MOST_PATCHES}"
        )
    return patch


def _fit_positions(state: dict[str, Tensor], size: int) -> dict[str, Tensor]:
    if _patch_size(size) != PUBLISHED_PATCH:
        raise size_fault(
            f"the pretrained 'vit' has patches of {PUBLISHED_PATCH} pixels, which do not fit {size}: set it to a "
            f"multiple of {PUBLISHED_PATCH} from {PUBLISHED_PATCH * FEWEST_PATCHES} up"
        )
    interpolate = torchvision.models.vision_transformer.interpolate_embeddings
    return dict(interpolate(image_size=size, patch_size=PUBLISHED_PATCH, model_state=state))
