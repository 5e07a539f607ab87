from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from fedchunk.orchestrator.core.errors import ClientFailed
from fedchunk.orchestrator.core.seeds import generator
from fedchunk.orchestrator.learning.build import build_model
from fedchunk.orchestrator.learning.engines.batches import batch_slices
from fedchunk.orchestrator.learning.engines.flatten import FlatModel
from fedchunk.orchestrator.learning.engines.image_order import image_order
from fedchunk.orchestrator.learning.engines.training import TrainingResult, train_local
from fedchunk.orchestrator.settings.sections import FederationSettings, TrainingSettings
from fedchunk.orchestrator.settings.whole import Settings

OPTIMIZERS: dict[str, Any] = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "rmsprop": torch.optim.RMSprop,
}


def whole(training: TrainingSettings, seed: int = 0) -> Settings:
    return Settings(training=training, federation=FederationSettings(random_seed=seed))


def data(num_samples: int, shape: tuple[int, ...], num_classes: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    x_S = torch.randn(num_samples, *shape, generator=random)
    return x_S, torch.randint(num_classes, (num_samples,), generator=random)


def train(model: FlatModel, x_S: Tensor, y_S: Tensor, settings: TrainingSettings, **where: int) -> TrainingResult:
    return train_local(model, x_S, y_S, whole(settings), **{"seed": 3, "round_index": 1, "client_id": 2, **where})


def linear(inputs: int = 2, classes: int = 2) -> FlatModel:
    torch.manual_seed(0)
    return FlatModel(nn.Linear(inputs, classes), "cpu")


def plain_loop(net: nn.Module, x_S: Tensor, y_S: Tensor, settings: TrainingSettings) -> Tensor:
    """What anybody would write: one tensor per layer, gradients set to None before each batch."""
    options: dict[str, Any] = {"lr": settings.learning_rate, "weight_decay": settings.weight_decay or 0.0}
    if settings.optimizer in ("sgd", "rmsprop"):
        options["momentum"] = settings.momentum
    optimizer = OPTIMIZERS[settings.optimizer](net.parameters(), **options)
    rng = generator(3, "batches", 1, 2)
    net.train()
    for _ in range(settings.number_of_epochs):
        order = torch.from_numpy(rng.permutation(len(x_S)))
        for start in range(0, len(x_S), settings.train_batch_size):
            batch = order[start : start + settings.train_batch_size]
            optimizer.zero_grad()
            x_B = x_S[batch].to(memory_format=image_order(net, "cpu"))
            functional.cross_entropy(net(x_B), y_S[batch]).backward()
            optimizer.step()
    return torch.cat([parameter.detach().reshape(-1) for parameter in net.parameters()])


@pytest.mark.parametrize("model_type", ["mlp", "lenet", "cnn"])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_sgd_on_the_flat_vector_gives_the_bits_of_a_plain_loop(model_type: Any, momentum: float) -> None:
    settings = TrainingSettings(
        model_type=model_type, momentum=momentum, weight_decay=1e-3, train_batch_size=10, number_of_epochs=2,
        learning_rate=0.1,
    )  # fmt: skip
    x_S, y_S = data(47, (1, 8, 8), 10)
    model = FlatModel(build_model(whole(settings, 1), (1, 8, 8), 10), "cpu")
    train(model, x_S, y_S, settings)
    assert torch.equal(model.weights, plain_loop(build_model(whole(settings, 1), (1, 8, 8), 10), x_S, y_S, settings))


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "rmsprop"])
def test_other_optimizers_on_the_flat_vector_agree_with_a_plain_loop(optimizer: Any) -> None:
    settings = TrainingSettings(optimizer=optimizer, momentum=0.5, weight_decay=1e-2, train_batch_size=10)
    x_S, y_S = data(47, (1, 8, 8), 10)
    model = FlatModel(build_model(whole(settings, 1), (1, 8, 8), 10), "cpu")
    train(model, x_S, y_S, settings)
    expected = plain_loop(build_model(whole(settings, 1), (1, 8, 8), 10), x_S, y_S, settings)
    torch.testing.assert_close(model.weights, expected)


def hand_gradient(weights_P: np.ndarray, x: np.ndarray, y: np.ndarray, smoothing: float = 0.0) -> np.ndarray:
    """Of the mean cross entropy of a linear layer: (softmax - target) x input, for weight and bias."""
    classes = 2
    weight, bias = weights_P[:4].reshape(2, 2), weights_P[4:]
    logits = x @ weight.T + bias
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    error = shares - ((1 - smoothing) * np.eye(classes)[y] + smoothing / classes)
    return np.concatenate([(error.T @ x).reshape(-1), error.sum(axis=0)]) / len(x)


def by_hand(
    weights_P: np.ndarray, x: np.ndarray, y: np.ndarray, settings: TrainingSettings
) -> tuple[np.ndarray, np.ndarray]:
    """Trained weights and mean raw gradient by sgd with FedProx and clipping, in float64."""
    start_P, gradients = weights_P.copy(), []
    rng = generator(3, "batches", 1, 2)
    for _ in range(settings.number_of_epochs):
        order = rng.permutation(len(x))
        for first in range(0, len(x), settings.train_batch_size):
            batch = order[first : first + settings.train_batch_size]
            smoothing = 0.1 if settings.loss_function == "SmoothCrossEntropy" else 0.0
            gradients.append(hand_gradient(weights_P, x[batch], y[batch], smoothing))
            step = gradients[-1] + settings.proximal_mu * (weights_P - start_P)
            norm = np.sqrt((step**2).sum())
            if settings.max_grad_norm is not None and norm > settings.max_grad_norm:
                step = step * settings.max_grad_norm / norm
            weights_P = weights_P - settings.learning_rate * step
    return weights_P, np.mean(gradients, axis=0)


@pytest.mark.parametrize(
    "settings",
    [
        TrainingSettings(),
        TrainingSettings(aggregation_strategy="FedProx", mu=0.7),
        TrainingSettings(max_grad_norm=0.05),
        TrainingSettings(aggregation_strategy="FedProx", mu=2.0, max_grad_norm=0.3),
        TrainingSettings(loss_function="SmoothCrossEntropy"),
    ],
    ids=["plain", "fedprox", "clipped", "fedprox-clipped", "smooth"],
)
def test_weights_and_gradient_by_hand(settings: TrainingSettings) -> None:
    settings = settings.model_copy(update={"number_of_epochs": 3, "train_batch_size": 4, "learning_rate": 0.5})
    x_S, y_S = data(10, (2,), 2)
    model = linear()
    start_P = model.state().weights_P.astype(np.float64)
    result = train(model, x_S, y_S, settings)
    weights_P, gradient_P = by_hand(start_P, x_S.numpy().astype(np.float64), y_S.numpy(), settings)
    np.testing.assert_allclose(model.state().weights_P, weights_P, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(result.gradient_P, gradient_P, rtol=1e-5, atol=1e-6)
    assert result.gradient_P.dtype == np.float32
    assert result.num_samples == 10


def test_train_loss_is_the_mean_over_samples_not_over_batches() -> None:
    x_S, y_S = data(5, (2,), 2)
    model = linear()
    order = generator(3, "batches", 1, 2).permutation(5)
    losses = []
    for batch in (order[:4], order[4:]):  # the learning rate is too small to change anything in between
        losses += [functional.cross_entropy(model.module(x_S[batch]), y_S[batch], reduction="sum").item()]
    result = train(model, x_S, y_S, TrainingSettings(train_batch_size=4, learning_rate=1e-12))
    assert result.train_loss == pytest.approx(sum(losses) / 5, rel=1e-6)


def test_a_client_round_can_be_repeated_bit_for_bit_and_differs_from_others() -> None:
    settings = TrainingSettings(train_batch_size=4, learning_rate=0.1)
    x_S, y_S = data(20, (2,), 2)

    def weights(**where: int) -> bytes:
        model = linear()
        train(model, x_S, y_S, settings, **where)
        return model.state().weights_P.tobytes()

    torch.manual_seed(1)
    first = weights()
    torch.manual_seed(2)
    assert weights() == first
    assert len({first, weights(seed=4), weights(round_index=2), weights(client_id=3)}) == 4


def test_dropout_comes_from_seed_round_and_client_and_leaves_torch_s_state_alone() -> None:
    x_S, y_S = data(20, (2,), 2)
    settings = TrainingSettings(train_batch_size=20)

    def gradient(**where: int) -> bytes:
        torch.manual_seed(0)
        model = FlatModel(nn.Sequential(nn.Dropout(0.5), nn.Linear(2, 2)), "cpu")
        torch.rand(7)  # other numbers drawn before must not matter
        before = torch.get_rng_state()
        result = train(model, x_S, y_S, settings, **where)
        assert torch.equal(torch.get_rng_state(), before)
        return result.gradient_P.tobytes()

    assert gradient() == gradient()
    assert len({gradient(), gradient(seed=4), gradient(round_index=2), gradient(client_id=3)}) == 4


def test_the_optimizer_starts_afresh_every_round() -> None:
    x_S, y_S = data(8, (2,), 2)
    settings = TrainingSettings(momentum=0.9, train_batch_size=4, learning_rate=0.1)
    model, again = linear(), linear()
    train(model, x_S, y_S, settings, round_index=1)
    again.load(model.state())
    for each in (model, again):  # one of them has a history
        train(each, x_S, y_S, settings, round_index=2)
    assert torch.equal(model.weights, again.weights)


def test_frozen_and_tied_values_train_as_in_a_plain_loop() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.one = nn.Linear(2, 2)
            self.other = nn.Linear(2, 2)
            self.other.weight = self.one.weight
            self.frozen = nn.Linear(2, 2).requires_grad_(False)

        def forward(self, x: Tensor) -> Tensor:
            answer: Tensor = self.frozen(self.other(torch.tanh(self.one(x))))
            return answer

    x_S, y_S = data(12, (2,), 2)
    settings = TrainingSettings(train_batch_size=5, learning_rate=0.3)
    model, plain = FlatModel(Shared(), "cpu"), Shared()
    frozen_before = plain.frozen.weight.clone()
    train(model, x_S, y_S, settings)
    plain_loop(plain, x_S, y_S, settings)
    for name, values in plain.state_dict().items():
        assert torch.equal(model.module.state_dict()[name], values), name
    assert torch.equal(plain.frozen.weight, frozen_before)
    assert model.spec.num_parameters == 4 + 2 + 2


def batch_norm() -> FlatModel:
    torch.manual_seed(0)
    return FlatModel(nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 2)), "cpu")


def test_batch_norm_skips_a_last_batch_of_one_sample() -> None:
    model = batch_norm()
    x_S, y_S = data(9, (2,), 2)
    result = train(model, x_S, y_S, TrainingSettings(train_batch_size=4, number_of_epochs=3))
    assert model.state().counters_I.tolist() == [2 * 3]
    assert result.num_samples == 9


def test_batch_norm_trains_as_a_plain_loop_buffers_included() -> None:
    settings = TrainingSettings(train_batch_size=4, learning_rate=0.1)
    x_S, y_S = data(12, (2,), 2)
    model, plain = batch_norm(), batch_norm().module
    train(model, x_S, y_S, settings)
    plain_loop(plain, x_S, y_S, settings)
    for name, values in plain.state_dict().items():
        torch.testing.assert_close(model.module.state_dict()[name], values, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("num_samples", "batch_size", "remedy"), [(1, 4, "give each client more"), (5, 1, "train_batch_size to 2")]
)
def test_batch_norm_with_single_samples_only_is_a_failure_of_the_client(
    num_samples: int, batch_size: int, remedy: str
) -> None:
    x_S, y_S = data(num_samples, (2,), 2)
    with pytest.raises(ClientFailed, match=remedy) as caught:
        train(batch_norm(), x_S, y_S, TrainingSettings(train_batch_size=batch_size))
    assert (caught.value.client_id, caught.value.round_index, caught.value.stage) == (2, 1, "training")


def test_one_sample_is_enough_without_batch_norm() -> None:
    x_S, y_S = data(1, (2,), 2)
    assert train(linear(), x_S, y_S, TrainingSettings()).gradient_P.any()


def test_batches_cover_every_sample_once_but_for_dropped_single_ones() -> None:
    assert batch_slices(9, 4, drop_single=False) == (slice(0, 4), slice(4, 8), slice(8, 9))
    assert batch_slices(9, 4, drop_single=True) == (slice(0, 4), slice(4, 8))
    assert batch_slices(10, 4, drop_single=True) == (slice(0, 4), slice(4, 8), slice(8, 10))


def test_a_loss_that_explodes_says_where_and_what_to_do() -> None:
    x_S, y_S = data(8, (2,), 2)
    settings = TrainingSettings(learning_rate=1e38, train_batch_size=2, number_of_epochs=5)
    with pytest.raises(
        FloatingPointError, match=r"loss became (nan|inf) in round 1 of client 2, in epoch 1, batch"
    ) as e:
        train(linear(), x_S * 10, y_S, settings)
    assert "learning_rate is 1e+38: lower it" in str(e.value)


def test_weights_that_explode_in_the_last_batch_are_noticed() -> None:
    x_S, y_S = data(2, (2,), 2)
    with pytest.raises(FloatingPointError, match=r"weights were not finite in round 1 of client 2"):
        train(linear(), x_S * 1e4, y_S, TrainingSettings(learning_rate=1e38))


def test_training_learns() -> None:
    x_S, _ = data(200, (2,), 2)
    y_S = (x_S.sum(dim=1) > 0).long()
    model = linear()
    settings = TrainingSettings(learning_rate=0.5, number_of_epochs=5, train_batch_size=20)
    first = train(model, x_S, y_S, settings).train_loss
    last = train(model, x_S, y_S, settings, round_index=2).train_loss
    assert last < first
    assert (model.module(x_S).argmax(dim=1) == y_S).float().mean() > 0.95


def test_a_result_is_plain_values() -> None:
    x_S, y_S = data(4, (2,), 2)
    result = dataclasses.asdict(train(linear(), x_S, y_S, TrainingSettings()))
    assert {key: type(value) for key, value in result.items()} == {
        "train_loss": float,
        "gradient_P": np.ndarray,
        "num_samples": int,
    }
