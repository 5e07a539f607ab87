"""The order of images in memory: which models get which, and that it changes nothing but rounding."""

from __future__ import annotations

from unittest.mock import patch

import pytest
import torch
from torch.nn import functional

from fedchunk.orchestrator.learning.build import build_model
from fedchunk.orchestrator.learning.engines import flatten
from fedchunk.orchestrator.learning.engines.flatten import FlatModel
from fedchunk.orchestrator.learning.engines.image_order import image_order
from fedchunk.orchestrator.settings.sections import FederationSettings, TrainingSettings
from fedchunk.orchestrator.settings.whole import Settings

SHAPE = (3, 32, 32)


def whole(training: TrainingSettings, seed: int = 0) -> Settings:
    return Settings(training=training, federation=FederationSettings(random_seed=seed))


@pytest.mark.parametrize(
    ("model_type", "order"),
    [
        ("mlp", torch.contiguous_format),
        ("lenet", torch.channels_last),
        ("cnn", torch.channels_last),
        ("mobilenet", torch.channels_last),
        ("resnet18", torch.contiguous_format),
    ],
)
def test_channels_go_last_where_kernels_have_few_values(model_type: str, order: torch.memory_format) -> None:
    module = build_model(whole(TrainingSettings(model_type=model_type), 0), SHAPE, 10)

    assert image_order(module, "cpu") == order
    assert image_order(module, "cuda") == torch.contiguous_format


@pytest.mark.parametrize("shape", [SHAPE, (1, 28, 28)], ids=["three channels", "one channel"])
def test_answers_and_gradients_are_the_same_but_for_rounding(shape: tuple[int, int, int]) -> None:
    random = torch.Generator().manual_seed(0)
    x_B, y_B = torch.randn(6, *shape, generator=random), torch.arange(6)
    found = []
    for order in (torch.contiguous_format, torch.channels_last):
        with patch.object(flatten, "image_order", return_value=order):
            model = FlatModel(build_model(whole(TrainingSettings(model_type="lenet"), 3), shape, 10), "cpu")
        logits_B = model.logits(x_B)
        gradients = model.gradients(functional.cross_entropy(logits_B, y_B))
        found.append((logits_B.detach(), *gradients))

    for first, last in zip(*found, strict=True):
        torch.testing.assert_close(first, last, rtol=1e-4, atol=1e-6)
        assert first.any()
