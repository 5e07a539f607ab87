"""ResNet-20 for images of 32 pixels: 269,722 values at 3 channels and 10 classes."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional

from fedchunk.orchestrator.learning.models._images import image_shape
from fedchunk.orchestrator.learning.models._norms import norm_layer
from fedchunk.orchestrator.settings.option_types import Count, Norm

WIDTHS = (16, 32, 64)
"""Channels of the three stages; each but the first halves height and width."""

MakeNorm = Callable[[int], nn.Module]


def resnet20(
    input_shape: tuple[int, ...], num_classes: int, norm: Norm = "batch", groups: Count = 2, blocks: Count = 3
) -> nn.Module:
    """Three stages of residual blocks with 16, 32 and 64 channels, for small images.

    Source: He et al., "Deep Residual Learning for Image Recognition" (2016), section 4.2, with its shortcuts without
    parameters (option A). ``6 blocks + 2`` layers: 20, and 32, 56 or 110 with 5, 9 or 18 blocks.

    Args:
        input_shape: channels, height and width.
        num_classes: number of outputs.
        norm: batch, or group: GroupNorm instead of BatchNorm.
        groups: of channels that GroupNorm takes together.
        blocks: of each stage.
    """
    channels, _, _ = image_shape("resnet20", input_shape)
    return _ResNet(channels, num_classes, blocks, norm_layer("resnet20", norm, groups))


class _ResNet(nn.Module):
    def __init__(self, channels: int, num_classes: int, blocks: int, make_norm: MakeNorm) -> None:
        super().__init__()
        self.conv = _convolution(channels, WIDTHS[0])
        self.norm = make_norm(WIDTHS[0])
        self.stages = nn.Sequential()
        before = WIDTHS[0]
        for width in WIDTHS:
            stage = [_Block(before if first else width, width, make_norm) for first in (True, *(False,) * (blocks - 1))]
            self.stages.append(nn.Sequential(*stage))
            before = width
        self.head = nn.Linear(before, num_classes)

    def forward(self, x_B: Tensor) -> Tensor:
        maps_B: Tensor = self.stages(functional.relu(self.norm(self.conv(x_B))))
        answers_B: Tensor = self.head(maps_B.mean(dim=(2, 3)))
        return answers_B


class _Block(nn.Module):
    """Two convolutions beside a shortcut; where channels grow, height and width are halved."""

    def __init__(self, before: int, width: int, make_norm: MakeNorm) -> None:
        super().__init__()
        self.stride = 1 if before == width else 2
        self.more = width - before
        self.conv1 = _convolution(before, width, self.stride)
        self.norm1 = make_norm(width)
        self.conv2 = _convolution(width, width)
        self.norm2 = make_norm(width)

    def forward(self, x_B: Tensor) -> Tensor:
        y_B = functional.relu(self.norm1(self.conv1(x_B)))
        y_B = self.norm2(self.conv2(y_B))
        if self.more:  # every second pixel, and zeros for channels that are new
            half = self.more // 2
            x_B = functional.pad(x_B[:, :, ::2, ::2], (0, 0, 0, 0, half, self.more - half))
        return functional.relu(y_B + x_B)


def _convolution(before: int, width: int, stride: int = 1) -> nn.Conv2d:
    made = nn.Conv2d(before, width, kernel_size=3, stride=stride, padding=1, bias=False)
    nn.init.kaiming_normal_(made.weight, mode="fan_out", nonlinearity="relu")
    return made
