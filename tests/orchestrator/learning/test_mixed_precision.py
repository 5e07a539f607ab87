from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fedchunk.orchestrator.learning.build import build_model
from fedchunk.orchestrator.learning.data.samples import Part
from fedchunk.orchestrator.learning.engines.flatten import FlatModel
from fedchunk.orchestrator.learning.engines.group_trainer import GroupTrainer
from fedchunk.orchestrator.learning.engines.training import TrainingResult, train_local
from fedchunk.orchestrator.learning.evaluation import evaluate
from fedchunk.orchestrator.learning.loss import Loss
from fedchunk.orchestrator.settings.sections import FederationSettings, TrainingSettings
from fedchunk.orchestrator.settings.whole import Settings


def whole(training: TrainingSettings, seed: int = 0) -> Settings:
    return Settings(training=training, federation=FederationSettings(random_seed=seed))


def samples() -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(0)
    return torch.randn(24, 1, 8, 8, generator=random), torch.randint(10, (24,), generator=random)


def trained(model_type: Any, mixed_precision: Any) -> tuple[FlatModel, TrainingResult]:
    training = TrainingSettings(
        model_type=model_type, mixed_precision=mixed_precision, train_batch_size=8, learning_rate=0.1
    )
    model = FlatModel(build_model(whole(training, 1), (1, 8, 8), 10), "cpu")
    return model, train_local(model, *samples(), whole(training), seed=3, round_index=1, client_id=2)


@pytest.mark.parametrize("model_type", ["mlp", "lenet"])
def test_bfloat16_differs_from_float32_but_little(model_type: str) -> None:
    (exact, exact_result), (mixed, mixed_result) = trained(model_type, "none"), trained(model_type, "bfloat16")
    assert mixed.weights.dtype == torch.float32
    assert not torch.equal(exact.weights, mixed.weights)
    difference = np.linalg.norm(exact_result.gradient_P - mixed_result.gradient_P)
    assert difference < 0.1 * np.linalg.norm(exact_result.gradient_P)  # bfloat16 has 8 significant bits
    assert mixed_result.train_loss == pytest.approx(exact_result.train_loss, rel=0.01)


def test_activations_are_bfloat16_in_training_and_float32_in_evaluation() -> None:
    seen: list[torch.dtype] = []
    training = TrainingSettings(mixed_precision="bfloat16", train_batch_size=24)
    module = build_model(whole(training, 1), (1, 8, 8), 10)
    module.register_forward_hook(lambda _, inputs, answer: seen.append(answer.dtype))
    model = FlatModel(module, "cpu")
    train_local(model, *samples(), whole(training), seed=3, round_index=1, client_id=2)
    evaluate(model, *samples(), batch_size=24, loss=Loss.of(whole(training)))
    assert seen == [torch.bfloat16, torch.float32]


def test_small_losses_are_not_rounded_to_bfloat16() -> None:
    net = nn.Linear(1, 2)
    with torch.no_grad():
        net.weight.zero_()
        net.bias.copy_(torch.tensor([0.0, 5.0]))
    training = TrainingSettings(mixed_precision="bfloat16")
    result = train_local(
        FlatModel(net, "cpu"), torch.zeros(3, 1), torch.ones(3, dtype=torch.int64), whole(training),
        seed=0, round_index=1, client_id=0,
    )  # fmt: skip
    assert result.train_loss == pytest.approx(np.log1p(np.exp(-5.0)), rel=1e-5)


def test_clients_are_trained_one_by_one_and_the_reason_says_so() -> None:
    training = TrainingSettings(mixed_precision="bfloat16", vectorize_clients="on", train_batch_size=8)
    model = FlatModel(build_model(whole(training, 1), (1, 8, 8), 10), "cpu")
    start, (x_S, y_S) = model.state(), samples()
    trainer = GroupTrainer(model, whole(training), with_gradient=True)
    group = trainer.train([start] * 2, Part.whole(x_S, y_S), [0, 12, 24], (5, 6), seed=3, round_index=1)
    assert group.engine == "one_by_one"
    assert "bfloat16" in group.reason
    model.load(start)
    alone = train_local(model, x_S[12:], y_S[12:], whole(training), seed=3, round_index=1, client_id=6)
    assert group.gradient_GP is not None
    np.testing.assert_array_equal(group.gradient_GP[1], alone.gradient_P)
