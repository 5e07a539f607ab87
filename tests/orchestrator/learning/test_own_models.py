"""Models of a user's own: what they may be, and what is said of those that they may not be."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fedchunk.orchestrator import registry
from fedchunk.orchestrator.component_source import find, from_object
from fedchunk.orchestrator.components import Component, Components
from fedchunk.orchestrator.core.errors import ComponentFailed, ConfigError
from fedchunk.orchestrator.learning.build import build_model, flat_model, model_spec
from fedchunk.orchestrator.learning.data.samples import Part
from fedchunk.orchestrator.learning.engines.group_trainer import GroupTrainer
from fedchunk.orchestrator.learning.engines.training import train_local
from fedchunk.orchestrator.registry import KINDS
from fedchunk.orchestrator.settings.sections import TrainingSettings
from fedchunk.orchestrator.settings.whole import Settings

SHAPE, CLASSES = (2, 3), 4


def with_model(component: Component, **training: Any) -> Settings:
    named = TrainingSettings(model_type=component.name, **training)
    return Settings(training=named, components=Components((component,)))


def own(make: Callable[..., Any], **training: Any) -> Settings:
    return with_model(from_object(KINDS["model"], make), **training)


def from_file(folder: Path, source: str, **training: Any) -> Settings:
    (folder / "mine.py").write_text(source)
    return with_model(find(KINDS["model"], "./mine.py:net", folder), **training)


def half_frozen(input_shape: tuple[int, ...], num_classes: int, width: int = 5) -> nn.Module:
    net = nn.Sequential(nn.Flatten(), nn.Linear(6, width), nn.Tanh(), nn.Linear(width, num_classes))
    net[1].requires_grad_(False)
    return net


class Words(nn.Module):
    """A model of whole numbers."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.table = nn.Embedding(7, 3)
        self.last = nn.Linear(3, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.last(self.table(x).mean(dim=1))
        return answer


class LooksAtItsValues(nn.Module):
    """Cannot be made on the meta device."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.last = nn.Linear(6, num_classes)
        assert self.last.weight.abs().sum().item() > 0

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.last(x.flatten(1))
        return answer


def trained(settings: Settings, x_S: Tensor) -> float:
    model = flat_model(settings, tuple(x_S.shape[1:]), CLASSES, "cpu")
    y_S = torch.arange(len(x_S)) % CLASSES
    return train_local(model, x_S, y_S, settings, seed=0, round_index=1, client_id=0).train_loss


def test_frozen_parameters_are_not_exchanged_and_options_reach_the_model() -> None:
    settings = own(half_frozen, model_options={"width": 9})
    model = flat_model(settings, SHAPE, CLASSES, "cpu")
    assert model.spec.num_parameters == 9 * CLASSES + CLASSES
    assert (model.spec.num_float_buffers, model.spec.num_frozen) == (0, 6 * 9 + 9)
    assert model_spec(settings, SHAPE, CLASSES) == model.spec
    before = {name: values.tobytes() for name, values in model.frozen().items()}
    train_local(model, torch.randn(8, *SHAPE), torch.arange(8) % 4, settings, seed=0, round_index=1, client_id=0)
    assert {name: values.tobytes() for name, values in model.frozen().items()} == before


def test_the_seed_makes_the_values_of_a_model_of_ones_own_too() -> None:
    one, other = (build_model(own(half_frozen), SHAPE, CLASSES) for _ in range(2))
    assert torch.equal(one[3].weight, other[3].weight)


def test_a_class_that_eats_whole_numbers_is_a_model() -> None:
    assert trained(own(Words, train_batch_size=4), torch.arange(40).reshape(8, 5) % 7) > 0


def test_a_model_that_looks_at_its_values_has_a_spec_all_the_same() -> None:
    assert model_spec(own(LooksAtItsValues), SHAPE, CLASSES).num_parameters == 6 * CLASSES + CLASSES


@pytest.mark.parametrize("make", [build_model, model_spec])
def test_what_is_no_module_is_named_with_its_place(tmp_path: Path, make: Callable[..., Any]) -> None:
    settings = from_file(tmp_path, "\n\ndef net(input_shape):\n    return [1]\n")
    with pytest.raises(ComponentFailed, match=r"returned list, expected an nn\.Module") as caught:
        make(settings, SHAPE, CLASSES)
    assert f"{tmp_path / 'mine.py'}:3" in str(caught.value)


def test_a_model_without_anything_to_train_is_named_with_its_place(tmp_path: Path) -> None:
    settings = from_file(tmp_path, "from torch import nn\ndef net():\n    return nn.Flatten()\n")
    with pytest.raises(ComponentFailed, match=r"mine.py:\d.*no trainable values"):
        flat_model(settings, SHAPE, CLASSES, "cpu")


LINEAR = """from torch import nn

class net(nn.Module):
    def __init__(self):
        super().__init__()
        self.last = nn.Linear(6, 4)

    def forward(self, x):
        return {answer}
"""


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("self.last(x.flatten(1)).unsqueeze(1)", r"shape \(8, 1, 4\), expected a tensor \(8, 4\)"),
        ("self.last(x.flatten(1))[:, :3]", r"shape \(8, 3\), expected a tensor \(8, 4\)"),
        ("(self.last(x.flatten(1)),)", r"tuple, expected a tensor \(8, 4\)"),
        ("self.list(x)", r"mine.py:9\): AttributeError"),
        ("{}[0]", r"mine.py:9\): KeyError"),
    ],
)
def test_a_model_that_raises_or_answers_wrongly_costs_its_clients_and_names_its_place(
    tmp_path: Path, answer: str, reason: str
) -> None:
    settings = from_file(tmp_path, LINEAR.format(answer=answer))
    model = flat_model(settings, SHAPE, CLASSES, "cpu")
    x_S, y_S = torch.randn(16, *SHAPE), torch.arange(16) % CLASSES
    trainer = GroupTrainer(model, settings, with_gradient=False)
    group = trainer.train([model.state()] * 2, Part.whole(x_S, y_S), [0, 8, 16], [3, 4], seed=0, round_index=1)
    assert set(group.failures) == {0, 1}
    assert re.search(reason, group.failures[0]), group.failures
    assert str(tmp_path / "mine.py") in group.failures[1]


ONE_BAD_CLIENT = """from torch import nn

class net(nn.Module):
    def __init__(self):
        super().__init__()
        self.last = nn.Linear(6, 4)

    def forward(self, x):
        if (x > 100).any():
            raise {error}("too large")
        return self.last(x.flatten(1))
"""


@pytest.mark.parametrize("error", ["KeyError", "TypeError", "AssertionError", "StopIteration", "Exception"])
@pytest.mark.parametrize("vectorize", ["off", "on"])
def test_any_exception_of_one_client_costs_that_client_alone(tmp_path: Path, error: str, vectorize: str) -> None:
    settings = from_file(tmp_path, ONE_BAD_CLIENT.format(error=error), vectorize_clients=vectorize)
    model = flat_model(settings, SHAPE, CLASSES, "cpu")
    x_S, y_S = torch.randn(16, *SHAPE), torch.arange(16) % CLASSES
    x_S[8:] += 1000
    trainer = GroupTrainer(model, settings, with_gradient=True)
    group = trainer.train([model.state()] * 2, Part.whole(x_S, y_S), [0, 8, 16], [3, 4], seed=0, round_index=1)
    assert set(group.failures) == {1}
    assert f"mine.py:10): {error}: " in group.failures[1]
    assert group.weights_GP[0].tobytes() != model.state().weights_P.tobytes()


def test_a_dense_model_whose_first_layer_does_not_fit_is_not_trained_as_if_it_did() -> None:
    """Stacked products flatten samples, which the model itself does not."""
    settings = own(lambda num_classes: nn.Sequential(nn.Linear(6, 8), nn.Linear(8, num_classes)))
    model = flat_model(settings, (1, 6), CLASSES, "cpu")
    trainer = GroupTrainer(model, settings, with_gradient=False)
    x_S, y_S = torch.randn(8, 2, 6), torch.arange(8) % CLASSES
    group = trainer.train([model.state()] * 2, Part.whole(x_S, y_S), [0, 4, 8], [3, 4], seed=0, round_index=1)
    assert group.engine == "one_by_one"
    assert "does not take samples of (2, 6)" in group.reason
    assert "shape (4, 2, 4)" in group.failures[0]


def test_hooks_of_a_dense_model_are_not_passed_over() -> None:
    def hooked(num_classes: int) -> nn.Module:
        net = nn.Sequential(nn.Flatten(), nn.Linear(6, num_classes))
        net[1].register_forward_hook(lambda module, inputs, answer: 2 * answer)
        return net

    settings = own(hooked)
    model = flat_model(settings, SHAPE, CLASSES, "cpu")
    assert GroupTrainer(model, settings, with_gradient=False).plan.engine == "one_by_one"


def test_a_small_convolution_takes_samples_that_are_no_images_if_its_model_shapes_them() -> None:
    settings = own(lambda: nn.Sequential(nn.Unflatten(1, (1, 4, 4)), nn.Conv2d(1, CLASSES, 4), nn.Flatten()))
    assert trained(settings, torch.randn(8, 16)) > 0


@pytest.mark.parametrize("model_type", ["cnn", "lenet", "resnet18", "mobilenet", "vgg16", "vit"])
def test_models_of_images_refuse_samples_that_are_none(model_type: str) -> None:
    with pytest.raises(ConfigError, match=r"needs images \(channels, height, width\), got samples of \(6,\)"):
        model_spec(Settings(training=TrainingSettings(model_type=model_type)), (6,), 3)


@pytest.mark.parametrize("model_type", ["vgg16", "vit"])
def test_models_of_square_images_refuse_others(model_type: str) -> None:
    with pytest.raises(ConfigError, match="needs square images, got 64 x 96"):
        model_spec(Settings(training=TrainingSettings(model_type=model_type)), (3, 64, 96), 3)


def test_options_of_a_built_in_change_it() -> None:
    wide = Settings(training=TrainingSettings(model_options={"width": 24, "depth": 3}))
    assert model_spec(wide, (1, 8, 8), 10).num_parameters == 64 * 24 + 24 + 2 * (24 * 24 + 24) + 240 + 10


def test_which_models_have_published_weights_is_known_without_torch(project: Path) -> None:
    kind = KINDS["model"]
    found = {name for name in registry.builtin_names(kind) if registry.has_function(kind, name, "pretrained")}
    with_torchvision = {
        file.stem
        for file in (project / "orchestrator" / "learning" / "models").glob("[a-z]*.py")
        if "_torchvision" in ast.unparse(ast.parse(file.read_text(encoding="utf-8")))
    }
    assert found == with_torchvision != set()
    assert not registry.has_function(kind, "./mine.py:net", "pretrained")


def test_pretrained_weights_are_refused_by_the_settings_where_there_are_none() -> None:
    with pytest.raises(ValueError, match="there are no trained weights for model_type mlp"):
        Settings(training=TrainingSettings(pretrained_models=True))
    with pytest.raises(ValueError, match="there are no trained weights"):
        own(half_frozen, pretrained_models=True)
    Settings(training=TrainingSettings(model_type="resnet18", pretrained_models=True))
