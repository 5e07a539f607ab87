"""What torchvision's residual networks have in common."""

from __future__ import annotations

from torch import nn

from fedchunk.orchestrator.learning.models._images import image_shape
from fedchunk.orchestrator.learning.models._norms import norm_layer
from fedchunk.orchestrator.learning.models._torchvision import Published, fit_channels, fresh


def resnet(
    published: Published, input_shape: tuple[int, ...], num_classes: int, norm: str, groups: int, small_input: bool
) -> nn.Module:
    """A residual network with fresh weights.

    With ``small_input`` the first convolution is 3 x 3 with stride 1 and nothing is pooled after it, so that of 32
    pixels 4 are left at the end and not one (as in appendix B.9 of Chen et al. 2020, SimCLR, arXiv 2002.05709).

    Args:
        published: which of them.
        input_shape: channels, height and width.
        num_classes: number of outputs.
        norm: batch or group.
        groups: of channels, with group.
        small_input: whether images are small.
    """
    channels, _, _ = image_shape(published.name, input_shape)
    module = fresh(published, num_classes, norm_layer=norm_layer(published.name, norm, groups))
    if not small_input:
        return fit_channels(module, published, channels)
    first = nn.Conv2d(channels, 64, kernel_size=3, padding=1, bias=False)
    nn.init.kaiming_normal_(first.weight, mode="fan_out", nonlinearity="relu")
    module.set_submodule(published.first, first)
    module.set_submodule("maxpool", nn.Identity())
    return module
