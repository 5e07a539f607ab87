"""Residual networks: options that leave the published form, and what stays of it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torchvision.models
from torch import Tensor, nn
from torch.nn import functional

from fedchunk.orchestrator.core.errors import ConfigError, DataError
from fedchunk.orchestrator.core.seeds import torch_seed
from fedchunk.orchestrator.learning.build import build_model, model_spec
from fedchunk.orchestrator.learning.data.samples import Part
from fedchunk.orchestrator.learning.engines.flatten import FlatModel
from fedchunk.orchestrator.learning.engines.group_trainer import GroupTrainer
from fedchunk.orchestrator.learning.engines.training import has_batch_norm, train_local
from fedchunk.orchestrator.settings.sections import FederationSettings, TrainingSettings
from fedchunk.orchestrator.settings.whole import Settings

RESNETS = ("resnet18", "resnet20", "resnet50")


def settings_of(model_type: str, **options: Any) -> Settings:
    training = TrainingSettings(model_type=model_type, model_options=options, train_batch_size=2)
    return Settings(training=training, federation=FederationSettings(random_seed=3))


@pytest.mark.parametrize("model_type", ["resnet18", "resnet50"])
def test_without_options_a_model_is_torchvision_s_bit_for_bit(model_type: str) -> None:
    torch.manual_seed(torch_seed(3, "model"))
    theirs = getattr(torchvision.models, model_type)(weights=None, num_classes=7).state_dict()
    ours = build_model(settings_of(model_type), (3, 32, 32), 7).state_dict()

    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("model_type", RESNETS)
def test_groups_have_the_parameters_of_batches_and_no_buffers(model_type: str) -> None:
    batch, group = (model_spec(settings_of(model_type, norm=norm), (3, 32, 32), 10) for norm in ("batch", "group"))

    assert [place.shape for place in group.parameters] == [place.shape for place in batch.parameters]
    assert batch.num_float_buffers > 0
    assert group.buffers == ()


@pytest.mark.parametrize("model_type", RESNETS)
def test_with_groups_a_sample_is_answered_alike_whatever_is_beside_it(model_type: str) -> None:
    module = build_model(settings_of(model_type, norm="group"), (2, 16, 16), 4).train()
    x_S = torch.randn(3, 2, 16, 16)

    assert not has_batch_norm(module)
    torch.testing.assert_close(module(x_S)[:1], module(x_S[:1]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("model_type", "groups", "channels"), [("resnet20", 3, 16), ("resnet18", 128, 64)])
def test_groups_that_do_not_divide_a_layer_are_refused(model_type: str, groups: int, channels: int) -> None:
    with pytest.raises(ConfigError, match=f"groups: got {groups}, which does not divide the {channels} channels"):
        model_spec(settings_of(model_type, norm="group", groups=groups), (3, 32, 32), 10)


def test_small_images_keep_their_pixels_until_the_stages() -> None:
    """11,173,962 values: the ResNet-18 of CIFAR-10."""
    settings = settings_of("resnet18", small_input=True)
    module = build_model(settings, (3, 32, 32), 10)
    stem = nn.Sequential(module.conv1, module.bn1, module.relu, module.maxpool)

    assert model_spec(settings, (3, 32, 32), 10).num_parameters == 11_173_962
    assert stem(torch.randn(1, 3, 32, 32)).shape == (1, 64, 32, 32)
    assert module.layer4(module.layer3(module.layer2(module.layer1(torch.randn(1, 64, 32, 32))))).shape[2:] == (4, 4)
    assert module(torch.randn(2, 3, 32, 32)).shape == (2, 10)
    assert build_model(settings, (1, 28, 28), 10)(torch.randn(2, 1, 28, 28)).shape == (2, 10)


@pytest.mark.parametrize("options", [{"norm": "group"}, {"small_input": True}])
def test_published_weights_do_not_fit_another_form(
    options: dict[str, Any], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    file = torchvision.models.ResNet18_Weights.DEFAULT.url.rpartition("/")[2]
    published = build_model(settings_of("resnet18"), (3, 32, 32), 1000)
    torch.save(published.state_dict(), folder / file)
    training = TrainingSettings(model_type="resnet18", model_options=options, pretrained_models=True)

    with pytest.raises((ConfigError, DataError), match="do not fit"):
        build_model(Settings(training=training), (3, 32, 32), 10)


def slow_resnet20(module: Any, x_B: Tensor) -> Tensor:
    """Section 4.2 of the paper, step by step; GroupNorm by its formula."""

    def normed(layer: nn.GroupNorm, maps_B: Tensor) -> Tensor:
        split = maps_B.view(len(maps_B), layer.num_groups, -1)
        mean, variance = split.mean(2, keepdim=True), split.var(2, unbiased=False, keepdim=True)
        whole = ((split - mean) / (variance + layer.eps).sqrt()).view_as(maps_B)
        return whole * layer.weight[:, None, None] + layer.bias[:, None, None]

    maps_B = normed(module.norm, functional.conv2d(x_B, module.conv.weight, padding=1)).relu()
    for number, stage in enumerate(module.stages):
        for place, block in enumerate(stage):
            stride = 2 if number > 0 and place == 0 else 1
            inner = functional.conv2d(maps_B, block.conv1.weight, stride=stride, padding=1)
            inner = functional.conv2d(normed(block.norm1, inner).relu(), block.conv2.weight, padding=1)
            shortcut = torch.zeros_like(inner)
            first = (inner.shape[1] - maps_B.shape[1]) // 2
            shortcut[:, first : first + maps_B.shape[1]] = maps_B[:, :, ::stride, ::stride]
            maps_B = (normed(block.norm2, inner) + shortcut).relu()
    return maps_B.mean(dim=(2, 3)) @ module.head.weight.T + module.head.bias


@pytest.mark.parametrize("size", [32, 9])
def test_resnet20_is_what_the_paper_says(size: int) -> None:
    module = build_model(settings_of("resnet20", norm="group", groups=4, blocks=2), (3, size, size), 5)
    x_B = torch.randn(2, 3, size, size)

    assert len([part for part in module.modules() if isinstance(part, nn.Conv2d | nn.Linear)]) == 6 * 2 + 2
    torch.testing.assert_close(module(x_B), slow_resnet20(module, x_B), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("norm", ["batch", "group"])
def test_clients_of_resnet20_at_once_are_those_one_by_one(norm: str) -> None:
    shape, classes = (1, 8, 8), 3
    base = {"model_type": "resnet20", "model_options": {"norm": norm, "blocks": 1}, "train_batch_size": 4}
    settings = Settings(training=TrainingSettings(**base, vectorize_clients="on", learning_rate=0.05))
    model = FlatModel(build_model(settings, shape, classes), "cpu")
    start, offsets = model.state(), [0, 4, 8]
    x_S, y_S = torch.randn(8, *shape), torch.arange(8) % classes
    arguments = {"seed": 1, "round_index": 1}

    group = GroupTrainer(model, settings, with_gradient=True).train(
        [start, start], Part.whole(x_S, y_S), offsets, [0, 1], **arguments
    )

    assert group.engine == "vmap", group.reason
    for client in (0, 1):
        model.load(start)
        own = slice(offsets[client], offsets[client + 1])
        result = train_local(model, x_S[own], y_S[own], settings, client_id=client, **arguments)
        torch.testing.assert_close(group.gradient_GP[client], result.gradient_P, rtol=1e-3, atol=1e-5)
        torch.testing.assert_close(group.buffers_GB[client], model.state().buffers_B, rtol=1e-4, atol=1e-5)
