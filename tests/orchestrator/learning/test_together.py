from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from fedchunk.orchestrator.contract.messages import ModelState
from fedchunk.orchestrator.learning.build import build_model
from fedchunk.orchestrator.learning.data.samples import Part
from fedchunk.orchestrator.learning.engines import stacked
from fedchunk.orchestrator.learning.engines.flatten import FlatModel
from fedchunk.orchestrator.learning.engines.group_trainer import GroupTrainer, TrainedGroup
from fedchunk.orchestrator.learning.engines.stacked import Outcome, StackTrainer
from fedchunk.orchestrator.learning.engines.training import train_local
from fedchunk.orchestrator.settings.sections import FederationSettings, TrainingSettings
from fedchunk.orchestrator.settings.whole import Settings

SHAPE, CLASSES = (1, 2, 3), 3
IDS = (4, 9, 11, 12, 30, 31, 47)


def whole(training: TrainingSettings, seed: int = 0) -> Settings:
    return Settings(training=training, federation=FederationSettings(random_seed=seed))


def dense_net(bias: bool = True) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(6, 5, bias=bias), nn.ReLU(), nn.Linear(5, 4), nn.Linear(4, CLASSES))


def small_conv() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 2, 2), nn.Tanh(), nn.Flatten(), nn.Linear(4, CLASSES))


def batch_norm() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(6, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, CLASSES))


def frozen() -> nn.Module:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, CLASSES))
    net[1].requires_grad_(False)
    return net


def data(sizes: Sequence[int], scale: float = 1.0) -> tuple[Tensor, Tensor, list[int]]:
    """Samples of clients, which depend on their place alone."""
    x, y = [], []
    for place, size in enumerate(sizes):
        random = torch.Generator().manual_seed(place)
        x.append(scale * torch.randn(size, *SHAPE, generator=random))
        y.append(torch.randint(CLASSES, (size,), generator=random))
    return torch.cat(x), torch.cat(y), np.cumsum([0, *sizes]).tolist()


def other_starts(state: ModelState, count: int) -> list[ModelState]:
    rng = np.random.default_rng(1)
    return [
        ModelState((state.weights_P + 0.1 * rng.normal(size=state.weights_P.shape)).astype(np.float32), *rest)
        for rest in [(state.buffers_B, state.counters_I)] * count
    ]


def copied(group: TrainedGroup) -> TrainedGroup:
    gradients = None if group.gradients is None else group.gradients.clone()
    arrays = (group.weights_GP.copy(), group.buffers_GB.copy(), group.counters_GI.copy(), gradients)
    return TrainedGroup(*arrays, group.train_loss_G, group.failures, group.engine, group.reason)


def train(
    make: Callable[[], nn.Module],
    training: TrainingSettings,
    sizes: Sequence[int],
    *,
    with_gradient: bool = True,
    own_starts: bool = False,
    scale: float = 1.0,
    momenta: Sequence[Any] = (),
) -> TrainedGroup:
    model = FlatModel(make(), "cpu")
    starts = other_starts(model.state(), len(sizes)) if own_starts else [model.state()] * len(sizes)
    trainer = GroupTrainer(model, whole(training), with_gradient=with_gradient)
    x_S, y_S, offsets = data(sizes, scale)
    return trainer.train(
        starts, Part.whole(x_S, y_S), offsets, IDS[: len(sizes)], seed=5, round_index=2, momenta=momenta
    )


def both(make: Callable[[], nn.Module], training: TrainingSettings, sizes: Sequence[int], **how: Any):
    off = train(make, training.model_copy(update={"vectorize_clients": "off"}), sizes, **how)
    return off, train(make, training.model_copy(update={"vectorize_clients": "on"}), sizes, **how)


def assert_equal_up_to_rounding(one: TrainedGroup, other: TrainedGroup, rtol: float = 1e-4, atol: float = 1e-6) -> None:
    assert one.failures == other.failures == {}
    np.testing.assert_array_equal(one.counters_GI, other.counters_GI)
    np.testing.assert_allclose(other.weights_GP, one.weights_GP, rtol=rtol, atol=atol)
    np.testing.assert_allclose(other.buffers_GB, one.buffers_GB, rtol=rtol, atol=atol)
    np.testing.assert_allclose(other.train_loss_G, one.train_loss_G, rtol=rtol)
    if one.gradient_GP is not None and other.gradient_GP is not None:
        np.testing.assert_allclose(other.gradient_GP, one.gradient_GP, rtol=rtol, atol=atol)


@pytest.mark.parametrize(
    "training",
    [
        TrainingSettings(learning_rate=0.3),
        TrainingSettings(learning_rate=0.1, momentum=0.9, weight_decay=0.01),
        TrainingSettings(optimizer="adam", learning_rate=1e-3, weight_decay=0.01),
        TrainingSettings(optimizer="adamw", learning_rate=1e-3, weight_decay=0.1),
        TrainingSettings(optimizer="rmsprop", learning_rate=1e-3, momentum=0.5),
        TrainingSettings(learning_rate=0.3, aggregation_strategy="FedProx", mu=0.7),
        TrainingSettings(learning_rate=0.3, max_grad_norm=0.05),
        TrainingSettings(learning_rate=0.3, loss_function="SmoothCrossEntropy"),
        TrainingSettings(learning_rate=0.1, local_steps=7),
        TrainingSettings(
            momentum=0.5, max_grad_norm=0.3, aggregation_strategy="FedProx", loss_function="SmoothCrossEntropy"
        ),
    ],
    ids=["sgd", "momentum", "adam", "adamw", "rmsprop", "fedprox", "clipped", "smooth", "steps", "all"],
)
@pytest.mark.parametrize(("make", "engine"), [(dense_net, "dense"), (small_conv, "vmap"), (frozen, "vmap")])
def test_clients_trained_at_once_are_those_trained_one_by_one(
    training: TrainingSettings, make: Callable[[], nn.Module], engine: str
) -> None:
    training = training.model_copy(update={"train_batch_size": 4, "number_of_epochs": 3})
    off, on = both(make, training, (9, 3, 8, 1, 14), own_starts=True)
    assert (off.engine, on.engine) == ("one_by_one", engine)
    assert_equal_up_to_rounding(off, on, atol=1e-5)


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 25), min_size=1, max_size=6),
    batch_size=st.integers(1, 12),
    epochs=st.integers(1, 3),
    local_steps=st.none() | st.integers(1, 9),
    optimizer=st.sampled_from(["sgd", "adam"]),
    momentum=st.sampled_from([0.0, 0.9]),
    strategy=st.sampled_from(["FedAvg", "FedProx"]),
    max_grad_norm=st.none() | st.just(0.2),
    loss=st.sampled_from(["CrossEntropy", "SmoothCrossEntropy"]),
    with_gradient=st.booleans(),
    own_starts=st.booleans(),
    bias=st.booleans(),
)
def test_any_clients_and_settings_come_out_as_one_by_one(
    sizes, batch_size, epochs, local_steps, optimizer, momentum, strategy, max_grad_norm, loss, with_gradient,
    own_starts, bias,
):  # fmt: skip
    training = TrainingSettings(
        train_batch_size=batch_size, number_of_epochs=epochs, local_steps=local_steps, optimizer=optimizer,
        momentum=momentum, aggregation_strategy=strategy, max_grad_norm=max_grad_norm, loss_function=loss,
        learning_rate=0.05 if optimizer == "sgd" else 1e-3,
    )  # fmt: skip
    off, on = both(lambda: dense_net(bias), training, sizes, with_gradient=with_gradient, own_starts=own_starts)
    assert on.engine == "dense"
    assert (on.gradient_GP is None) == (not with_gradient)
    assert_equal_up_to_rounding(off, on, atol=1e-5)


@pytest.mark.parametrize(("make", "engine"), [(dense_net, "dense"), (small_conv, "vmap")])
def test_momentum_that_starts_from_something_is_the_same_at_once(
    make: Callable[[], nn.Module], engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clients with different numbers of steps, in several stacks; one that starts at zero; and nothing is written."""
    sizes = (9, 3, 8, 1, 14)
    momenta = [np.full(FlatModel(make(), "cpu").spec.num_parameters, 0.1 * size, np.float32) for size in sizes]
    given = [None, *(momentum_P.copy() for momentum_P in momenta[1:])]
    for one in given[1:]:
        one.flags.writeable = False
    training = TrainingSettings(train_batch_size=4, number_of_epochs=2, learning_rate=0.05, momentum=0.8)
    off, on = both(make, training, sizes, momenta=given)
    assert (off.engine, on.engine) == ("one_by_one", engine)
    assert_equal_up_to_rounding(off, on, atol=1e-5)
    monkeypatch.setattr(stacked, "STACK_VALUES", 2 * len(momenta[0]))
    assert_equal_up_to_rounding(off, both(make, training, sizes, momenta=given)[1], atol=1e-5)
    assert all(map(np.array_equal, given[1:], momenta[1:]))
    plain = train(make, training, sizes)
    np.testing.assert_allclose(plain.weights_GP[0], off.weights_GP[0], rtol=1e-4, atol=1e-5)
    # One step, of a client whose one batch is its three samples: the momentum counts with its weight.
    one_step = training.model_copy(update={"local_steps": 1})
    moved = train(make, one_step, sizes).weights_GP[1] - train(make, one_step, sizes, momenta=given).weights_GP[1]
    np.testing.assert_allclose(moved, 0.05 * 0.8 * momenta[1], rtol=1e-3)


def test_one_by_one_gives_the_bits_of_train_local() -> None:
    training = TrainingSettings(vectorize_clients="off", train_batch_size=4, momentum=0.9)
    sizes = (9, 5)
    group = train(small_conv, training, sizes, own_starts=True)
    model = FlatModel(small_conv(), "cpu")
    starts = other_starts(model.state(), 2)
    x_S, y_S, offsets = data(sizes)
    for place, start in enumerate(starts):
        own = slice(offsets[place], offsets[place + 1])
        model.load(start)
        result = train_local(model, x_S[own], y_S[own], whole(training), seed=5, round_index=2, client_id=IDS[place])
        np.testing.assert_array_equal(group.weights_GP[place], model.state().weights_P)
        np.testing.assert_array_equal(group.gradient_GP[place], result.gradient_P)
        assert group.train_loss_G[place] == result.train_loss


def test_nothing_changes_but_rounding_with_the_company_a_client_keeps(monkeypatch: pytest.MonkeyPatch) -> None:
    training = TrainingSettings(train_batch_size=4, number_of_epochs=2, learning_rate=0.2, momentum=0.5)
    group = train(dense_net, training, (9, 3, 8, 1, 14))
    alone = train(dense_net, training, (9,))
    np.testing.assert_allclose(alone.weights_GP[0], group.weights_GP[0], rtol=1e-5, atol=1e-7)
    monkeypatch.setattr(stacked, "STACK_VALUES", 2 * group.weights_GP.shape[1])  # stacks of two at most
    assert_equal_up_to_rounding(train(dense_net, training, (9, 3, 8, 1, 14)), group, rtol=1e-5)


def test_the_same_group_gives_the_same_bits_whatever_was_trained_before() -> None:
    training = TrainingSettings(train_batch_size=4, number_of_epochs=2, learning_rate=0.2, momentum=0.5)
    model = FlatModel(dense_net(), "cpu")
    start = model.state()
    trainer = GroupTrainer(model, whole(training), with_gradient=True)

    def run(sizes: Sequence[int], seed: int) -> TrainedGroup:
        x_S, y_S, offsets = data(sizes)
        ids = IDS[: len(sizes)]
        return copied(trainer.train([start] * len(sizes), Part.whole(x_S, y_S), offsets, ids, seed=seed, round_index=1))

    first = run((9, 3, 8), seed=1)
    run((2, 30, 7, 8, 8), seed=2)  # more clients, so that memory grows
    run((4,), seed=3)
    again = run((9, 3, 8), seed=1)
    assert first.weights_GP.tobytes() == again.weights_GP.tobytes()
    assert first.gradient_GP.tobytes() == again.gradient_GP.tobytes()
    assert first.train_loss_G.tolist() == again.train_loss_G.tolist()
    np.testing.assert_array_equal(model.state().weights_P, start.weights_P)


@pytest.mark.parametrize("sizes", [(8, 8, 8), (8, 12, 4)], ids=["even", "other numbers of batches"])
def test_batch_norm_keeps_statistics_for_each_client(sizes: tuple[int, ...]) -> None:
    training = TrainingSettings(train_batch_size=4, number_of_epochs=2, learning_rate=0.1)
    off, on = both(batch_norm, training, sizes)
    assert on.engine == "vmap"
    assert_equal_up_to_rounding(off, on)
    assert on.counters_GI[:, 0].tolist() == [2 * size // 4 for size in sizes]
    assert not np.array_equal(on.buffers_GB[0], on.buffers_GB[1])


def test_batch_norm_with_uneven_batches_falls_back_and_says_why() -> None:
    off, on = both(batch_norm, TrainingSettings(train_batch_size=4), (8, 7))
    assert (on.engine, on.reason) == ("one_by_one", "one by one: BatchNorm at once needs batches of one size")
    assert on.weights_GP.tobytes() == off.weights_GP.tobytes()


class Restless(nn.Module):
    """Looks at the numbers to decide what to do: nothing that could be done for many at once."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.last = nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.last(x.flatten(1))
        return answer if answer.sum().item() > 0 else answer * 2


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: nn.Sequential(dense_net(), nn.Dropout(0.5)), "Dropout draws from a stream of its own for each client"),
        (Restless, "torch cannot do this model at once"),
    ],
    ids=["dropout", "control flow"],
)
def test_what_cannot_be_done_at_once_is_done_one_by_one_with_the_same_bits(make: Any, reason: str) -> None:
    off, on = both(make, TrainingSettings(train_batch_size=4, learning_rate=0.1), (9, 8))
    assert on.engine == "one_by_one"
    assert reason in on.reason
    assert on.weights_GP.tobytes() == off.weights_GP.tobytes()
    assert on.gradient_GP.tobytes() == off.gradient_GP.tobytes()


def test_a_model_that_torch_refused_is_not_tried_again() -> None:
    model = FlatModel(Restless(), "cpu")
    trainer = GroupTrainer(model, whole(TrainingSettings(vectorize_clients="on")), with_gradient=False)
    x_S, y_S, offsets = data((4, 4))
    assert trainer.plan.engine == "vmap"
    trainer.train([model.state()] * 2, Part.whole(x_S, y_S), offsets, IDS[:2], seed=5, round_index=2)
    assert trainer.plan.engine == "one_by_one"


@pytest.mark.parametrize("make", [dense_net, small_conv])
def test_clients_for_which_there_is_no_room_at_once_are_trained_one_by_one(
    monkeypatch: pytest.MonkeyPatch, make: Callable[[], nn.Module]
) -> None:
    off, on = both(make, TrainingSettings(train_batch_size=4), (9, 8))
    tries = iter([torch.OutOfMemoryError("CUDA out of memory"), None])
    train_at_once = StackTrainer.train

    def train_perhaps(self: StackTrainer, *arguments: Any) -> Outcome:
        if (error := next(tries)) is not None:
            raise error
        return train_at_once(self, *arguments)

    monkeypatch.setattr(StackTrainer, "train", train_perhaps)
    model = FlatModel(make(), "cpu")
    trainer = GroupTrainer(
        model, whole(TrainingSettings(train_batch_size=4, vectorize_clients="on")), with_gradient=True
    )
    x_S, y_S, offsets = data((9, 8))
    first, second = (
        copied(trainer.train([model.state()] * 2, Part.whole(x_S, y_S), offsets, IDS[:2], seed=5, round_index=2))
        for _ in range(2)
    )

    assert first.reason == "one by one: the device has too little memory for them at once"
    assert first.weights_GP.tobytes() == off.weights_GP.tobytes()
    assert second.engine == on.engine != "one_by_one"
    assert second.weights_GP.tobytes() == on.weights_GP.tobytes()


def test_a_single_client_of_a_conv_net_is_trained_alone() -> None:
    off, on = both(small_conv, TrainingSettings(train_batch_size=4), (9,))
    assert (on.engine, on.reason) == ("one_by_one", "one by one: a single client")
    assert on.weights_GP.tobytes() == off.weights_GP.tobytes()


@pytest.mark.parametrize("make", [dense_net, small_conv], ids=["dense", "vmap"])
@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_a_client_that_fails_takes_no_other_along(make: Callable[[], nn.Module], poison: float) -> None:
    training = TrainingSettings(train_batch_size=4, learning_rate=0.2, number_of_epochs=2)
    sizes = (9, 5, 8)
    model = FlatModel(make(), "cpu")
    start = model.state()
    x_S, y_S, offsets = data(sizes)
    x_S[11] = poison  # of the second client
    answers = []
    for vectorize in ("off", "on"):
        trainer = GroupTrainer(
            model, whole(training.model_copy(update={"vectorize_clients": vectorize})), with_gradient=True
        )
        answers.append(trainer.train([start] * 3, Part.whole(x_S, y_S), offsets, IDS[:3], seed=5, round_index=2))
    off, on = answers
    assert on.failures == off.failures
    assert list(on.failures) == [1]
    assert on.failures[1].startswith(
        "FloatingPointError: the loss became nan in round 2 of client 9, in epoch 1, batch"
    )
    assert np.isnan(on.train_loss_G[1])
    for place in (0, 2):
        np.testing.assert_allclose(on.weights_GP[place], off.weights_GP[place], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(on.train_loss_G[place], off.train_loss_G[place], rtol=1e-5)


def test_weights_that_explode_in_the_last_batch_are_noticed_at_once_too() -> None:
    training = TrainingSettings(train_batch_size=8, learning_rate=3e38)
    off, on = both(dense_net, training, (5, 8), scale=100.0)
    assert on.engine == "dense"
    assert on.failures == off.failures
    assert "weights were not finite in round 2 of client 9, after the last batch" in on.failures[1]


def test_batch_norm_with_a_single_sample_fails_that_client_alone() -> None:
    training = TrainingSettings(train_batch_size=4)
    off, on = both(batch_norm, training, (8, 1, 4))
    assert on.engine == "vmap"
    assert on.failures == off.failures
    assert list(on.failures) == [1]
    assert "cannot train on one sample" in on.failures[1]
    for place in (0, 2):
        np.testing.assert_allclose(on.weights_GP[place], off.weights_GP[place], rtol=1e-4, atol=1e-6)


def test_a_group_of_clients_that_all_fail_is_answered() -> None:
    off, on = both(batch_norm, TrainingSettings(train_batch_size=1), (3, 2))
    assert on.failures == off.failures
    assert sorted(on.failures) == [0, 1]


def test_starts_are_left_alone_and_may_be_read_only() -> None:
    model = FlatModel(dense_net(), "cpu")
    start = model.state()
    start.weights_P.setflags(write=False)
    before = start.weights_P.copy()
    x_S, y_S, offsets = data((5, 6))
    trainer = GroupTrainer(model, whole(TrainingSettings(learning_rate=0.5)), with_gradient=False)
    group = trainer.train([start] * 2, Part.whole(x_S, y_S), offsets, IDS[:2], seed=5, round_index=2)
    np.testing.assert_array_equal(start.weights_P, before)
    assert not np.array_equal(group.weights_GP[0], before)


@pytest.mark.parametrize("model_type", ["logistic", "mlp"])
def test_our_dense_models_are_trained_at_once_by_default(model_type: Any) -> None:
    training = TrainingSettings(model_type=model_type, train_batch_size=10, learning_rate=0.1)
    make = lambda: build_model(whole(training, 1), SHAPE, CLASSES)  # noqa: E731
    auto = train(make, training, (20, 33, 10))
    off = train(make, training.model_copy(update={"vectorize_clients": "off"}), (20, 33, 10))
    assert auto.engine == "dense"
    assert auto.reason.startswith("at once")
    assert_equal_up_to_rounding(off, auto)
