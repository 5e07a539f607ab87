from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fedchunk.orchestrator.contract.messages import BufferSpec, ModelState, ParameterSpec
from fedchunk.orchestrator.learning.engines.flatten import FlatModel, spec_of


class Odd(nn.Module):
    """A tied layer, a frozen layer, BatchNorm, and a buffer that is not part of the saved state."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 3, bias=False)
        self.norm = nn.BatchNorm1d(3)
        self.frozen = nn.Linear(3, 3, bias=False).requires_grad_(False)
        self.tied = self.first
        self.last = nn.Linear(3, 2)
        self.register_buffer("scratch", torch.zeros(5), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.last(self.tied(self.frozen(self.norm(self.first(x)))))
        return answer


def odd(seed: int = 0) -> FlatModel:
    torch.manual_seed(seed)
    return FlatModel(Odd(), "cpu")


def arrays(state: ModelState) -> list[np.ndarray]:
    return [state.weights_P, state.buffers_B, state.counters_I]


def assert_same(a: ModelState, b: ModelState) -> None:
    for left, right in zip(arrays(a), arrays(b), strict=True):
        np.testing.assert_array_equal(left, right)
        assert left.dtype == right.dtype


def frozen(state: ModelState) -> ModelState:
    for array in arrays(state):
        array.flags.writeable = False
    return state


def test_the_spec_counts_tied_values_once_and_frozen_ones_apart() -> None:
    spec = odd().spec
    assert spec.parameters == (
        ParameterSpec("first.weight", (3, 3), 0, 9),
        ParameterSpec("norm.weight", (3,), 9, 12),
        ParameterSpec("norm.bias", (3,), 12, 15),
        ParameterSpec("last.weight", (2, 3), 15, 21),
        ParameterSpec("last.bias", (2,), 21, 23),
    )
    assert spec.buffers == (
        BufferSpec("norm.running_mean", (3,), False, 0, 3),
        BufferSpec("norm.running_var", (3,), False, 3, 6),
        BufferSpec("norm.num_batches_tracked", (), True, 0, 1),
    )
    assert (spec.num_parameters, spec.num_float_buffers, spec.num_integer_buffers) == (23, 6, 1)
    assert spec.num_frozen == 9


def test_the_spec_of_a_model_without_memory_is_the_same() -> None:
    with torch.device("meta"):
        spec = spec_of(Odd())
    assert spec == odd().spec


def test_taking_a_module_over_changes_no_value() -> None:
    torch.manual_seed(0)
    plain = Odd()
    model = odd(seed=0)
    for name, values in plain.state_dict().items():
        assert torch.equal(model.module.state_dict()[name], values), name


def test_weights_are_the_module_s_own_memory() -> None:
    model = odd()
    for place, parameter in zip(model.spec.parameters, trainable(model), strict=True):
        assert torch.equal(model.weights[place.start : place.stop], parameter.detach().reshape(-1)), place.name
    model.weights.zero_()
    assert not model.module(torch.randn(4, 3)).any()


def test_gradients_are_those_of_the_loss_and_leave_nothing_behind() -> None:
    model, plain = odd(seed=0), odd(seed=0).module
    x, y = torch.randn(4, 3), torch.tensor([0, 1, 1, 0])
    nn.functional.cross_entropy(plain(x), y).backward()
    for _ in range(2):  # the second are not added to the first
        gradients = model.gradients(nn.functional.cross_entropy(model.logits(x), y))
    expected = [parameter.grad for parameter in plain.parameters() if parameter.requires_grad]
    for gradient, known, parameter in zip(gradients, expected, trainable(model), strict=True):
        assert known is not None
        torch.testing.assert_close(gradient, known)
        assert parameter.grad is None
    assert any(gradient.any() for gradient in gradients)


def test_a_parameter_without_part_in_the_loss_has_gradient_zero() -> None:
    module = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    model = FlatModel(module, "cpu")
    first, second = model.gradients(module[0](torch.ones(1, 2)).sum())
    assert first.all()
    assert second.tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_a_model_placed_elsewhere_works_there_and_comes_back() -> None:
    model = odd()
    own = model.weights.clone()
    elsewhere = torch.full_like(own, 2.0)
    with model.placed_in(elsewhere):
        assert all((parameter == 2.0).all() for parameter in trainable(model))
        model.load(odd(seed=1).state())
    assert torch.equal(elsewhere, odd(seed=1).weights)
    assert torch.equal(model.weights, own)
    model.weights.zero_()
    assert not any(parameter.any() for parameter in trainable(model))


def trainable(model: FlatModel) -> list[nn.Parameter]:
    return [parameter for parameter in model.module.parameters() if parameter.requires_grad]


def test_state_comes_back_as_it_was_after_training_passes() -> None:
    model = odd()
    model.module.train()
    model.module(torch.randn(8, 3))
    state = frozen(model.state())
    assert state.counters_I.tolist() == [1]
    assert state.buffers_B[:3].any()
    other = odd(seed=1)
    other.load_frozen(model.frozen())
    other.module.eval()
    other.load(state)
    assert_same(other.state(), state)
    x = torch.randn(5, 3)
    model.module.eval()
    assert torch.equal(other.module(x), model.module(x))


def test_the_views_survive_train_eval_and_load() -> None:
    model = odd()
    state = frozen(model.state())
    for change in (model.module.train, model.module.eval, lambda: model.load(state)):
        change()
        model.weights.fill_(2.0)
        assert all((p == 2).all() for p in model.module.parameters() if p.requires_grad)


def test_a_state_is_a_copy_both_ways() -> None:
    model = odd()
    state = model.state()
    before = state.weights_P.copy()
    model.load(frozen(state))
    model.weights.add_(1.0)
    np.testing.assert_array_equal(state.weights_P, before)


@pytest.mark.parametrize("name", ["weights_P", "buffers_B", "counters_I"])
@pytest.mark.parametrize("change", [lambda a: a[:1], lambda a: np.append(a, a), lambda a: a[np.newaxis]])
def test_a_state_of_another_model_is_refused(name: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
    class Two(Odd):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("steps", torch.zeros(2, dtype=torch.int32))

    model = FlatModel(Two(), "cpu")
    values = vars(model.state())
    with pytest.raises(ValueError, match=rf"{name}: the model has \d+ values, got an array of shape"):
        model.load(ModelState(**{**values, name: change(values[name])}))


def test_a_buffer_that_the_module_replaces_is_still_seen() -> None:
    class Replacing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(1))
            self.register_buffer("seen", torch.zeros(1))

        def forward(self, x: Tensor) -> Tensor:
            self.seen = self.get_buffer("seen") + 1
            return x * self.weight

    model = FlatModel(Replacing(), "cpu")
    model.module(torch.ones(1))
    assert model.state().buffers_B.tolist() == [1]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.complex64])
def test_buffers_of_other_types_are_refused_by_name(dtype: torch.dtype) -> None:
    module = nn.Linear(2, 2)
    module.register_buffer("strange", torch.zeros(1, dtype=dtype))
    with pytest.raises(ValueError, match=r"'strange' is torch\.\w+, allowed are torch.float32 and integers"):
        FlatModel(module, "cpu")


def test_parameters_of_other_types_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"'weight' is torch.float64"):
        FlatModel(nn.Linear(2, 2).double(), "cpu")


def test_a_model_with_nothing_to_train_is_refused() -> None:
    with pytest.raises(ValueError, match="no trainable values"):
        FlatModel(nn.Linear(2, 2).requires_grad_(False), "cpu")
