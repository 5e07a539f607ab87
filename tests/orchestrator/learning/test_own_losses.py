"""Losses of a user's own, and the rates of rounds in training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from fedchunk.orchestrator.component_source import find, from_object
from fedchunk.orchestrator.components import Component, Components
from fedchunk.orchestrator.core.errors import ComponentFailed
from fedchunk.orchestrator.learning.data.samples import Part
from fedchunk.orchestrator.learning.engines.flatten import FlatModel
from fedchunk.orchestrator.learning.engines.group_trainer import GroupTrainer, TrainedGroup
from fedchunk.orchestrator.learning.engines.training import train_local
from fedchunk.orchestrator.learning.evaluation import evaluate
from fedchunk.orchestrator.learning.loss import Loss
from fedchunk.orchestrator.registry import KINDS
from fedchunk.orchestrator.settings.sections import TrainingSettings
from fedchunk.orchestrator.settings.whole import Settings


def with_loss(component: Component, **training: Any) -> Settings:
    named = TrainingSettings(loss_function=component.name, learning_rate=0.3, train_batch_size=4, **training)
    return Settings(training=named, components=Components((component,)))


def own(function: Any, **training: Any) -> Settings:
    return with_loss(from_object(KINDS["loss"], function), **training)


def built_in(**training: Any) -> Settings:
    return Settings(training=TrainingSettings(learning_rate=0.3, train_batch_size=4, **training))


def data() -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(0)
    return torch.randn(18, 3, generator=random), torch.randint(4, (18,), generator=random)


def linear() -> FlatModel:
    torch.manual_seed(0)
    return FlatModel(nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 4)), "cpu")


def train(settings: Settings, **how: Any) -> TrainedGroup:
    model = linear()
    trainer = GroupTrainer(model, settings, with_gradient=True)
    return trainer.train(
        [model.state()] * 2, Part.whole(*data()), [0, 8, 18], [3, 4], **{"seed": 1, "round_index": 1, **how}
    )  # fmt: skip


def scaled_cross_entropy(outputs: Tensor, targets: Tensor, factor: float = 1.0) -> Tensor:
    assert outputs.dtype == torch.float32
    return factor * functional.cross_entropy(outputs, targets)


def test_a_loss_of_ones_own_trains_as_the_built_in_that_it_is_one_by_one() -> None:
    mine, theirs = train(own(scaled_cross_entropy)), train(built_in(vectorize_clients="off"))
    assert (mine.engine, mine.reason) == ("one_by_one", "one by one: scaled_cross_entropy is a loss of one's own")
    assert mine.weights_GP.tobytes() == theirs.weights_GP.tobytes()
    assert mine.train_loss_G.tolist() == theirs.train_loss_G.tolist()


def test_its_options_reach_it_in_training_and_evaluation() -> None:
    double, single = own(scaled_cross_entropy, loss_options={"factor": 2.0}), own(scaled_cross_entropy)
    np.testing.assert_allclose(train(double).train_loss_G, 2 * _first_losses(single), rtol=0.2)
    x_S, y_S = data()
    twice, once = (evaluate(linear(), x_S, y_S, 5, Loss.of(settings)).loss for settings in (double, single))
    assert twice == pytest.approx(2 * once, rel=1e-6)


def _first_losses(settings: Settings) -> Any:
    return train(settings).train_loss_G


def test_it_is_evaluated_as_a_mean_over_samples_not_over_batches() -> None:
    x_S, y_S = data()
    measured = evaluate(linear(), x_S, y_S, 5, Loss.of(own(scaled_cross_entropy)))
    with torch.no_grad():
        expected = functional.cross_entropy(linear().module(x_S), y_S).item()
    assert measured.loss == pytest.approx(expected, rel=1e-5)
    assert measured.num_samples == 18


def test_mixed_precision_hands_it_float32_all_the_same() -> None:
    group = train(own(scaled_cross_entropy, mixed_precision="bfloat16"))
    assert group.failures == {}


LOSSES = {
    "return outputs": r":1\): returned torch.float32 of shape \(4, 4\), expected a scalar tensor",
    "return 0.5": r":1\): returned float, expected a scalar tensor",
    "return targets.sum()": r":1\): returned torch.int64 of shape \(\), expected a scalar tensor",
    "return outputs.mean().detach()": r":1\): returned a tensor without a gradient",
    "return outputs.nothing": r":2\): AttributeError",
    "return {}[targets]": r":2\): KeyError",
}


@pytest.mark.parametrize("body", LOSSES)
def test_what_it_must_not_do_costs_the_clients_and_is_named_with_its_place(tmp_path: Path, body: str) -> None:
    (tmp_path / "mine.py").write_text(f"def loss(outputs, targets):\n    {body}\n")
    settings = with_loss(find(KINDS["loss"], "./mine.py:loss", tmp_path))
    failures = train(settings).failures
    assert set(failures) == {0, 1}
    assert str(tmp_path / "mine.py") in failures[0]
    with pytest.raises(ComponentFailed, match=LOSSES[body]):
        train_local(linear(), *data(), settings, seed=1, round_index=1, client_id=0)


def test_a_loss_of_ones_own_that_is_nan_is_a_failure_of_the_client() -> None:
    failures = train(own(lambda outputs, targets: outputs.mean() * float("nan"))).failures
    assert "the loss became nan in round 1 of client 3" in failures[0]


@pytest.mark.parametrize("vectorize", ["off", "auto", "on"])
def test_smoothing_is_an_option_that_all_engines_know(vectorize: Any) -> None:
    smooth = {"loss_function": "SmoothCrossEntropy", "vectorize_clients": vectorize}
    default, same = train(built_in(**smooth)), train(built_in(**smooth, loss_options={"smoothing": 0.1}))
    none, sharp = (
        train(built_in(**smooth, loss_options={"smoothing": 0.0})),
        train(built_in(vectorize_clients=vectorize)),
    )
    half = train(built_in(**smooth, loss_options={"smoothing": 0.5}))
    assert default.weights_GP.tobytes() == same.weights_GP.tobytes()
    assert none.weights_GP.tobytes() == sharp.weights_GP.tobytes()
    by_torch = train(own(half_smooth))
    np.testing.assert_allclose(half.weights_GP, by_torch.weights_GP, rtol=1e-4, atol=1e-6)
    assert not np.allclose(half.weights_GP, default.weights_GP, atol=1e-3)


def half_smooth(outputs: Tensor, targets: Tensor) -> Tensor:
    return functional.cross_entropy(outputs, targets, label_smoothing=0.5)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "rmsprop"])
@pytest.mark.parametrize("momentum", [0.0, 0.5])
@pytest.mark.parametrize("vectorize", ["off", "on"])
def test_a_round_s_rate_trains_as_if_it_were_the_settings_rate(optimizer: Any, momentum: float, vectorize: Any) -> None:
    how = {"optimizer": optimizer, "momentum": momentum, "vectorize_clients": vectorize}
    there = Settings(training=TrainingSettings(learning_rate=0.02, train_batch_size=4, **how))
    now = train(built_in(**how), learning_rate=0.02)
    assert now.weights_GP.tobytes() == train(there).weights_GP.tobytes()
    assert now.weights_GP.tobytes() != train(built_in(**how)).weights_GP.tobytes()
    np.testing.assert_array_equal(train(built_in(**how), learning_rate=0.0).weights_GP[0], linear().state().weights_P)


def test_what_is_said_of_a_loss_that_explodes_names_the_round_s_rate() -> None:
    failures = train(built_in(vectorize_clients="off", number_of_epochs=9), learning_rate=1e38).failures
    assert "learning_rate is 1e+38: lower it" in failures[0]
