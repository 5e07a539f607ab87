"""Learning on a GPU. Without one these tests are skipped. Convolutions are those of float32 here, not of TF32."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fedchunk.orchestrator.learning.build import build_model
from fedchunk.orchestrator.learning.data.samples import Part
from fedchunk.orchestrator.learning.engines.flatten import FlatModel
from fedchunk.orchestrator.learning.engines.group_trainer import GroupTrainer, TrainedGroup
from fedchunk.orchestrator.learning.engines.training import train_local
from fedchunk.orchestrator.learning.preprocess import configure_torch, to_device
from fedchunk.orchestrator.settings.sections import FederationSettings, TrainingSettings
from fedchunk.orchestrator.settings.whole import Settings

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here"),
]
SHAPE = (1, 12, 12)
SIZES = (23, 9, 16)


def whole(training: TrainingSettings, seed: int = 0) -> Settings:
    return Settings(training=training, federation=FederationSettings(random_seed=seed))


@pytest.fixture(autouse=True, scope="module")
def deterministic() -> Iterator[None]:
    configure_torch(1, True, "cuda")
    # TF32 has 11 significant bits: a few values pass a ReLU or win in a pool that would not on the CPU.
    convolutions = torch.backends.cudnn.conv
    before, convolutions.fp32_precision = convolutions.fp32_precision, "ieee"
    yield
    convolutions.fp32_precision = before
    torch.use_deterministic_algorithms(False)


def samples(device: str) -> tuple[Tensor, Tensor, list[int]]:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (sum(SIZES), *SHAPE), dtype=np.uint8)
    x_S = to_device(images, (np.array([0.5], np.float32), np.array([0.3], np.float32)), None, device)
    y_S = torch.from_numpy(rng.integers(0, 10, sum(SIZES))).to(device)
    return x_S, y_S, np.cumsum([0, *SIZES]).tolist()


def group(
    device: str, model_type: Any, *, with_gradient: bool = True, starting: bool = False, **changes: Any
) -> TrainedGroup:
    training = TrainingSettings(
        model_type=model_type, train_batch_size=8, number_of_epochs=2, learning_rate=0.05, **changes
    )
    model = FlatModel(build_model(whole(training, 1), SHAPE, 10), device)
    trainer = GroupTrainer(model, whole(training), with_gradient=with_gradient)
    x_S, y_S, offsets = samples(device)
    starts, how = [model.state()] * len(SIZES), {"seed": 3, "round_index": 1}
    if not starting:
        return trainer.train(starts, Part.whole(x_S, y_S), offsets, (4, 5, 6), **how)
    momenta = [None, *(np.full(model.spec.num_parameters, 0.02 * place, np.float32) for place in (1, 2))]
    return trainer.train(starts, Part.whole(x_S, y_S), offsets, (4, 5, 6), **how, momenta=momenta)


def assert_close(one: TrainedGroup, other: TrainedGroup, tolerance: float = 5e-3) -> None:
    assert one.failures == other.failures == {}
    np.testing.assert_allclose(one.weights_GP, other.weights_GP, rtol=tolerance, atol=tolerance / 10)
    np.testing.assert_allclose(one.train_loss_G, other.train_loss_G, rtol=tolerance)
    if one.gradient_GP is not None and other.gradient_GP is not None:
        np.testing.assert_allclose(one.gradient_GP, other.gradient_GP, rtol=tolerance, atol=tolerance / 10)


@pytest.mark.parametrize("model_type", ["logistic", "mlp", "lenet"])
@pytest.mark.parametrize("vectorize", ["off", "on"])
def test_a_gpu_comes_to_what_the_cpu_comes_to(model_type: str, vectorize: str) -> None:
    changes = {"vectorize_clients": vectorize, "momentum": 0.5}
    assert_close(group("cuda", model_type, **changes), group("cpu", model_type, **changes))


@pytest.mark.parametrize("vectorize", ["off", "on"])
def test_momentum_starts_from_the_same_on_a_gpu(vectorize: str) -> None:
    changes = {"vectorize_clients": vectorize, "momentum": 0.5, "starting": True}
    assert_close(group("cuda", "mlp", **changes), group("cpu", "mlp", **changes))


@pytest.mark.parametrize("model_type", ["mlp", "lenet"])
def test_at_once_comes_to_what_one_by_one_comes_to(model_type: str) -> None:
    on = group("cuda", model_type, vectorize_clients="on", max_grad_norm=0.5, aggregation_strategy="FedProx")
    off = group("cuda", model_type, vectorize_clients="off", max_grad_norm=0.5, aggregation_strategy="FedProx")
    assert (on.engine == "one_by_one", off.engine) == (False, "one_by_one")
    assert_close(on, off)


@pytest.mark.parametrize("model_type", ["mlp", "lenet"])
@pytest.mark.parametrize("vectorize", ["off", "on"])
@pytest.mark.parametrize("with_gradient", [False, True])
def test_the_same_group_gives_the_same_bits_again(model_type: str, vectorize: str, with_gradient: bool) -> None:
    first, again = (
        group("cuda", model_type, vectorize_clients=vectorize, with_gradient=with_gradient) for _ in range(2)
    )
    assert first.weights_GP.tobytes() == again.weights_GP.tobytes()
    assert first.train_loss_G.tolist() == again.train_loss_G.tolist()


def test_values_come_back_from_the_gpu_as_they_went_there() -> None:
    training = TrainingSettings(model_type="resnet18")
    there = FlatModel(build_model(whole(training, 1), (3, 32, 32), 10), "cuda")
    here = FlatModel(build_model(whole(training, 2), (3, 32, 32), 10), "cpu")
    there.load(here.state())
    for ours, theirs in zip(vars(here.state()).values(), vars(there.state()).values(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_loss_that_is_not_finite_is_reported_as_on_the_cpu() -> None:
    answers = []
    for device in ("cpu", "cuda"):
        training = TrainingSettings(model_type="mlp", train_batch_size=8)
        model = FlatModel(build_model(whole(training, 1), SHAPE, 10), device)
        x_S, y_S, _ = samples(device)
        x_S[7] = float("nan")
        with pytest.raises(FloatingPointError) as caught:
            train_local(model, x_S, y_S, whole(training), seed=3, round_index=1, client_id=2)
        answers.append(str(caught.value))
    assert answers[0] == answers[1]


@pytest.mark.parametrize("vectorize", ["off", "on"])
def test_the_gpu_is_not_waited_for_after_each_batch(vectorize: str) -> None:
    def waits(epochs: int) -> int:
        training = TrainingSettings(
            train_batch_size=8,
            local_steps=8 * epochs,
            vectorize_clients=vectorize,  # type: ignore[arg-type]
        )
        model = FlatModel(build_model(whole(training, 1), SHAPE, 10), "cuda")
        trainer = GroupTrainer(model, whole(training), with_gradient=True)
        x_S, y_S, offsets = samples("cuda")
        start = model.state()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            try:
                trainer.train([start] * len(SIZES), Part.whole(x_S, y_S), offsets, (4, 5, 6), seed=3, round_index=1)
            finally:
                torch.cuda.set_sync_debug_mode("default")
        return sum("called a synchronizing" in str(warning.message) for warning in caught)

    assert waits(1) == waits(4)


def test_bfloat16_is_close_to_float32() -> None:
    mixed, exact = group("cuda", "lenet", mixed_precision="bfloat16"), group("cuda", "lenet")
    assert mixed.gradient_GP is not None
    assert exact.gradient_GP is not None
    assert mixed.weights_GP.tobytes() != exact.weights_GP.tobytes()
    for ours, theirs in zip(mixed.gradient_GP, exact.gradient_GP, strict=True):
        assert np.linalg.norm(ours - theirs) < 0.1 * np.linalg.norm(theirs)
