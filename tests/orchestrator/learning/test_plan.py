from __future__ import annotations

from typing import Any

import pytest
from torch import nn

from fedchunk.orchestrator.learning.build import build_model
from fedchunk.orchestrator.learning.engines.dense import DenseLayer, dense_layers
from fedchunk.orchestrator.learning.engines.engine_choice import plan_training
from fedchunk.orchestrator.learning.loss import Loss
from fedchunk.orchestrator.settings.sections import FederationSettings, TrainingSettings
from fedchunk.orchestrator.settings.whole import Settings


def whole(training: TrainingSettings, seed: int = 0) -> Settings:
    return Settings(training=training, federation=FederationSettings(random_seed=seed))


def tied() -> nn.Module:
    one = nn.Linear(3, 3)
    return nn.Sequential(one, nn.ReLU(), one)


def frozen() -> nn.Module:
    net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2))
    net[0].requires_grad_(False)
    return net


def tied_weight() -> nn.Module:
    net = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3))
    net[2].weight = net[0].weight
    return net


class Doubling(nn.Linear):
    """Looks like a linear layer and is none."""

    def forward(self, x):
        return 2 * super().forward(x)


def test_the_layers_of_a_dense_net_say_where_their_values_are() -> None:
    net = nn.Sequential(
        nn.Flatten(), nn.Sequential(nn.Linear(4, 3, bias=False), nn.ReLU(), nn.ReLU()), nn.Linear(3, 2), nn.Linear(2, 5)
    )
    assert dense_layers(net) == (
        DenseLayer(4, 3, 0, None, relu=True),
        DenseLayer(3, 2, 12, 18, relu=False),
        DenseLayer(2, 5, 20, 30, relu=False),
    )
    assert dense_layers(nn.Linear(2, 3)) == (DenseLayer(2, 3, 0, 6, relu=False),)


@pytest.mark.parametrize(
    "net",
    [
        nn.Sequential(nn.Linear(3, 2), nn.ReLU()),
        nn.Sequential(nn.ReLU(), nn.Linear(3, 2)),
        nn.Sequential(nn.Flatten(2), nn.Linear(3, 2)),
        nn.Sequential(nn.Linear(3, 2), nn.Flatten(), nn.Linear(2, 2)),
        nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 2)),
        nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2), nn.Linear(2, 2)),
        nn.Sequential(Doubling(3, 2)),
        nn.Sequential(nn.Flatten()),
        tied(),
        tied_weight(),
        frozen(),
    ],
    ids=str,
)
def test_any_other_module_has_no_dense_layers(net: nn.Module) -> None:
    assert dense_layers(net) is None


@pytest.mark.parametrize(
    ("model_type", "changes", "device", "engine", "reason"),
    [
        ("mlp", {}, "cpu", "dense", "at once: stacked products"),
        ("mlp", {}, "cuda", "dense", "at once: stacked products"),
        ("logistic", {"vectorize_clients": "on"}, "cpu", "dense", "at once: stacked products"),
        ("mlp", {"vectorize_clients": "off"}, "cuda", "one_by_one", "vectorize_clients is off"),
        ("mlp", {"mixed_precision": "bfloat16"}, "cpu", "one_by_one", "bfloat16"),
        ("cnn", {}, "cpu", "one_by_one", "at once Conv2d is not surely faster on cpu"),
        ("cnn", {}, "cuda", "one_by_one", "at once Conv2d is not surely faster on cuda"),
        ("cnn", {"vectorize_clients": "on"}, "cuda", "vmap", "vectorize_clients is on"),
        ("mobilenet", {"vectorize_clients": "on"}, "cpu", "one_by_one", "Dropout draws"),
    ],
)
def test_the_plan_follows_from_settings_layers_and_kind_of_device(
    model_type: Any, changes: dict[str, Any], device: str, engine: str, reason: str
) -> None:
    training, shape = TrainingSettings(model_type=model_type, **changes), (1, 32, 32)
    plan = plan_training(build_model(whole(training), shape, 10), training, Loss.of(whole(training)), device)
    assert plan.engine == engine
    assert reason in plan.reason
