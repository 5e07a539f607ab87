from __future__ import annotations

import math
from functools import reduce
from operator import add

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from fedchunk.orchestrator.contract.messages import ModelState
from fedchunk.orchestrator.learning.build import build_model
from fedchunk.orchestrator.learning.data.shards import shards
from fedchunk.orchestrator.learning.engines.flatten import FlatModel
from fedchunk.orchestrator.learning.evaluation import evaluate
from fedchunk.orchestrator.learning.loss import Loss
from fedchunk.orchestrator.settings.sections import FederationSettings, TrainingSettings
from fedchunk.orchestrator.settings.whole import Settings


def whole(training: TrainingSettings, seed: int = 0) -> Settings:
    return Settings(training=training, federation=FederationSettings(random_seed=seed))


CROSS_ENTROPY = Loss.of(Settings())


def test_sums_by_hand() -> None:
    """Logits are the inputs themselves: the loss of a sample is log(1 + exp(wrong - right))."""
    model = FlatModel(nn.Linear(2, 2, bias=False), "cpu")
    model.load(ModelState(np.eye(2, dtype=np.float32).reshape(-1), np.zeros(0, np.float32), np.zeros(0, np.int64)))
    x_S = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 0.0]])
    y_S = torch.tensor([0, 0, 0])
    sums = evaluate(model, x_S, y_S, 2, CROSS_ENTROPY)
    expected = math.log(1 + math.exp(-1)) + math.log(1 + math.exp(2)) + math.log(1 + math.exp(-3))
    assert (sums.correct, sums.num_samples) == (2, 3)
    assert sums.loss_sum == pytest.approx(expected, rel=1e-12)
    assert sums.accuracy == pytest.approx(2 / 3)


@pytest.mark.parametrize("training", [True, False])
def test_dropout_and_batch_norm_are_off_and_the_mode_comes_back(training: bool) -> None:
    torch.manual_seed(0)
    model = FlatModel(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 2)), "cpu")
    model.module.train(training)
    x_S, y_S = torch.randn(30, 3), torch.zeros(30, dtype=torch.int64)
    before = model.state()
    assert evaluate(model, x_S, y_S, 7, CROSS_ENTROPY) == evaluate(model, x_S, y_S, 7, CROSS_ENTROPY)
    assert model.module.training is training
    np.testing.assert_array_equal(model.state().buffers_B, before.buffers_B)
    assert all(parameter.grad is None for parameter in model.module.parameters())


@given(num_samples=st.integers(1, 5000), batch_size=st.integers(1, 300), shard_batches=st.integers(1, 20))
def test_shards_cover_the_set_in_order_and_hold_whole_batches(
    num_samples: int, batch_size: int, shard_batches: int
) -> None:
    parts = shards(num_samples, batch_size, shard_batches)
    covered = [index for part in parts for index in range(part.start, part.stop)]
    assert covered == list(range(num_samples))
    assert all(part.stop - part.start == batch_size * shard_batches for part in parts[:-1])


def test_shards_by_any_actor_add_up_to_the_same_bits() -> None:
    settings = TrainingSettings(model_type="lenet")
    random = torch.Generator().manual_seed(0)
    x_S = torch.randn(150, 1, 8, 8, generator=random)
    y_S = torch.randint(10, (150,), generator=random)
    parts = shards(150, batch_size=8, shard_batches=4)
    assert len(parts) == 5

    def total(num_actors: int, order: list[int]) -> tuple[int, str]:
        actors = [FlatModel(build_model(whole(settings, 5), (1, 8, 8), 10), "cpu") for _ in range(num_actors)]
        done = {i: evaluate(actors[i % num_actors], x_S[parts[i]], y_S[parts[i]], 8, CROSS_ENTROPY) for i in order}
        sums = reduce(add, (done[i] for i in range(len(parts))))
        return sums.correct, sums.loss_sum.hex()

    assert total(1, [0, 1, 2, 3, 4]) == total(2, [4, 2, 0, 3, 1]) == total(3, [1, 4, 0, 2, 3])
