"""ResNet-18 of torchvision: 11,689,512 values for 3 channels and 1,000 classes."""

from __future__ import annotations

from torch import nn

from fedchunk.orchestrator.learning.models._resnets import resnet
from fedchunk.orchestrator.learning.models._torchvision import Published, load_state, published_state
from fedchunk.orchestrator.settings.option_types import Count, Norm

PUBLISHED = Published("resnet18", "resnet18", first="conv1", head="fc")


def resnet18(
    input_shape: tuple[int, ...], num_classes: int, norm: Norm = "batch", groups: Count = 2, small_input: bool = False
) -> nn.Module:
    """For images of any size.

    Source: He et al., "Deep Residual Learning for Image Recognition" (2016), table 1.

    Args:
        input_shape: channels, height and width.
        num_classes: number of outputs.
        norm: batch, or group: GroupNorm instead of BatchNorm.
        groups: of channels that GroupNorm takes together.
        small_input: for images of about 32 pixels: a first convolution of 3 x 3, and no pooling after it.
    """
    return resnet(PUBLISHED, input_shape, num_classes, norm, groups, small_input)


def pretrained(module: nn.Module, input_shape: tuple[int, ...], num_classes: int, download: bool) -> None:
    """Puts the weights that torchvision publishes into the model."""
    load_state(module, PUBLISHED, published_state(PUBLISHED, download), input_shape[0], num_classes)
