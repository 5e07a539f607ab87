"""How activations of convolutions are normalised: over the batch, or within each sample."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from fedchunk.orchestrator.core.errors import ConfigError, Fault


def norm_layer(model: str, norm: str, groups: int) -> Callable[[int], nn.Module]:
    """What makes the normalising layer of so many channels.

    Source: Hsieh et al., "The Non-IID Data Quagmire of Decentralized Machine Learning" (2020, arXiv 1910.00189): where
    clients' labels differ their batches have other means, and BatchNorm loses what GroupNorm (Wu and He 2018, arXiv
    1803.08494) keeps. It has the same parameters and no buffers, so that nothing but values is sent, and trains on
    single samples.

    Args:
        model: its name, for the message.
        norm: batch or group.
        groups: of channels that share a mean and a variance, with group.
    """

    def group_norm(channels: int) -> nn.Module:
        if channels % groups:
            message = f"groups: got {groups}, which does not divide the {channels} channels of a layer of {model!r}"
            raise ConfigError([Fault("", "model_options", message)])
        return nn.GroupNorm(groups, channels)

    return nn.BatchNorm2d if norm == "batch" else group_norm
