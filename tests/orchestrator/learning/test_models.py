from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from fedchunk.orchestrator.core.errors import ConfigError, DataError
from fedchunk.orchestrator.learning.build import build_model, model_spec
from fedchunk.orchestrator.learning.engines.flatten import FlatModel
from fedchunk.orchestrator.learning.engines.training import train_local
from fedchunk.orchestrator.registry import KINDS, builtin_names, load_builtin
from fedchunk.orchestrator.settings.joined import Sections
from fedchunk.orchestrator.settings.sections import FederationSettings, TrainingSettings
from fedchunk.orchestrator.settings.whole import Settings

SMALL: list[tuple[str, tuple[int, int, int], int]] = [
    ("logistic", (1, 8, 8), 10),
    ("mlp", (1, 8, 8), 10),
    ("mlp", (3, 5, 5), 4),
    ("cnn", (1, 8, 8), 10),
    ("cnn", (2, 6, 6), 3),
    ("lenet", (1, 8, 8), 10),
    ("lenet", (3, 13, 13), 7),
    ("resnet18", (1, 8, 8), 10),
    ("resnet18", (3, 32, 32), 5),
    ("resnet20", (1, 8, 8), 10),
    ("resnet20", (3, 32, 32), 10),
    ("mobilenet", (1, 17, 17), 10),
    ("resnet50", (2, 8, 8), 3),
]
ON_META: list[tuple[str, tuple[int, int, int], int]] = [
    ("vgg16", (1, 32, 32), 10),
    ("vgg16", (3, 70, 70), 10),
    ("vit", (1, 8, 8), 10),
    ("vit_small", (1, 8, 8), 10),
    ("vit", (1, 28, 28), 10),
    ("vit", (3, 224, 224), 1000),
    ("resnet50", (3, 224, 224), 1000),
]


def whole(training: TrainingSettings, seed: int = 0) -> Settings:
    return Settings(training=training, federation=FederationSettings(random_seed=seed))


def named(model_type: str, **others: Any) -> TrainingSettings:
    return TrainingSettings(model_type=model_type, **others)  # type: ignore[arg-type]


@pytest.mark.parametrize(("model_type", "shape", "classes"), SMALL)
def test_a_model_trains_on_its_images_and_its_spec_was_known_before(
    model_type: str, shape: tuple[int, int, int], classes: int
) -> None:
    settings = named(model_type, train_batch_size=4)
    model = FlatModel(build_model(whole(settings, 0), shape, classes), "cpu")
    assert model_spec(whole(settings), shape, classes) == model.spec
    x_S, y_S = torch.randn(4, *shape), torch.arange(4) % classes
    result = train_local(model, x_S, y_S, whole(settings), seed=0, round_index=1, client_id=0)
    assert all(result.gradient_P[place.start : place.stop].any() for place in model.spec.parameters)
    model.module.eval()
    assert model.module(x_S).shape == (4, classes)


@pytest.mark.parametrize(("model_type", "shape", "classes"), ON_META)
def test_a_large_model_passes_its_images_forward_and_back(
    model_type: str, shape: tuple[int, int, int], classes: int
) -> None:
    """On the meta device, where shapes are checked and nothing is computed."""
    with torch.device("meta"):
        model = FlatModel(build_model(whole(named(model_type), 0), shape, classes), "meta")
        answer = model.module(torch.empty(2, *shape))
    assert answer.shape == (2, classes)
    answer.sum().backward()
    assert model_spec(whole(named(model_type)), shape, classes) == model.spec


@pytest.mark.parametrize(
    ("model_type", "shape", "classes", "num_parameters"),
    [
        ("mlp", (1, 8, 8), 10, 55_210),
        ("cnn", (3, 32, 32), 10, 1_626_442),
        ("logistic", (1, 28, 28), 10, 7_850),
        ("lenet", (1, 28, 28), 10, 61_706),
        ("lenet", (1, 32, 32), 10, 61_706),
        ("resnet18", (3, 224, 224), 1000, 11_689_512),
        ("resnet20", (3, 32, 32), 10, 269_722),
        ("resnet50", (3, 224, 224), 1000, 25_557_032),
        ("mobilenet", (3, 224, 224), 1000, 3_504_872),
        ("vgg16", (3, 224, 224), 1000, 138_357_544),
        ("vit", (3, 224, 224), 1000, 86_567_656),
        ("vit_small", (3, 224, 224), 1000, 22_050_664),
    ],
)
def test_published_sizes(model_type: str, shape: tuple[int, int, int], classes: int, num_parameters: int) -> None:
    assert model_spec(whole(named(model_type)), shape, classes).num_parameters == num_parameters


def test_a_perceptron_takes_the_rows_of_a_table() -> None:
    settings = whole(named("mlp", model_options={"width": 5, "depth": 1}))
    assert model_spec(settings, (7,), 1).num_parameters == 7 * 5 + 5 + 5 + 1
    module = build_model(settings, (7,), 1)
    first, last = (part for part in module.children() if isinstance(part, nn.Linear))
    x_S = torch.randn(3, 7)
    torch.testing.assert_close(module(x_S), (x_S @ first.weight.T + first.bias).relu() @ last.weight.T + last.bias)


@pytest.mark.parametrize("model_type", ["mlp", "resnet18", "resnet20"])
def test_the_seed_alone_makes_the_values_and_torch_s_state_stays(model_type: str) -> None:
    def values(seed: int) -> bytes:
        return FlatModel(build_model(whole(named(model_type), seed), (1, 8, 8), 10), "cpu").state().weights_P.tobytes()

    before = torch.get_rng_state()
    first = values(1)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(3)
    assert values(1) == first
    assert values(2) != first


@pytest.mark.parametrize(
    ("model_type", "size", "minimum"),
    [("cnn", 5, "6"), ("lenet", 3, "4"), ("vgg16", 31, "32"), ("mobilenet", 16, "17"), ("vit", 263, "16")],
)
def test_a_size_that_cannot_be_is_a_fault_that_says_what_can(model_type: str, size: int, minimum: str) -> None:
    for make in (
        lambda: build_model(whole(named(model_type), 0), (1, size, size), 10),
        lambda: model_spec(whole(named(model_type)), (1, size, size), 10),
    ):
        with pytest.raises(ConfigError) as caught:
            make()
        (fault,) = caught.value.faults
        assert fault.key == "transform_input_size"
        assert str(size) in fault.message
        assert minimum in fault.message


@pytest.mark.parametrize(
    ("size", "patch"), [(1, 1), (8, 1), (28, 4), (32, 4), (64, 8), (96, 12), (224, 16), (384, 16), (512, 16)]
)
def test_vit_s_patches_divide_the_image(size: int, patch: int) -> None:
    from fedchunk.orchestrator.learning.models.vit import _patch_size

    assert _patch_size(size) == patch


@pytest.mark.parametrize("side", [1, 2, 3, 7, 10])
def test_the_pool_of_vgg_is_adaptive_pooling(side: int) -> None:
    from fedchunk.orchestrator.learning.models.vgg16 import _AveragePool

    maps = torch.randn(2, 3, side, side)
    torch.testing.assert_close(_AveragePool(side, 7)(maps), nn.AdaptiveAvgPool2d(7)(maps))


@pytest.fixture
def weights_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in place of the user's own cache of weights."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def publish(folder: Path, module: nn.Module) -> None:
    """Puts a model's values where torchvision looks for the published ones of MobileNet."""
    from torchvision.models import MobileNet_V2_Weights

    torch.save(module.state_dict(), folder / Path(MobileNet_V2_Weights.DEFAULT.url).name)


def test_pretrained_weights_are_fitted_to_channels_and_classes(weights_folder: Path) -> None:
    published = build_model(whole(named("mobilenet"), 7), (3, 32, 32), 1000)
    publish(weights_folder, published)
    source = published.state_dict()
    fitted = build_model(whole(named("mobilenet", pretrained_models=True), 1), (1, 32, 32), 10).state_dict()
    torch.testing.assert_close(fitted["features.0.0.weight"], source["features.0.0.weight"].sum(dim=1, keepdim=True))
    fresh = build_model(whole(named("mobilenet"), 1), (1, 32, 32), 10).state_dict()
    for name, values in fitted.items():
        if name.startswith("classifier.1."):
            assert torch.equal(values, fresh[name])
        elif name != "features.0.0.weight":
            assert torch.equal(values, source[name]), name


def test_pretrained_weights_of_the_same_form_are_taken_whole(weights_folder: Path) -> None:
    published = build_model(whole(named("mobilenet"), 7), (3, 32, 32), 1000)
    publish(weights_folder, published)
    taken = build_model(whole(named("mobilenet", pretrained_models=True), 1), (3, 32, 32), 1000)
    for name, values in taken.state_dict().items():
        assert torch.equal(values, published.state_dict()[name]), name


def test_pretrained_weights_that_are_missing_are_named_with_the_remedy(weights_folder: Path) -> None:
    with pytest.raises(DataError) as caught:
        build_model(whole(named("mobilenet", pretrained_models=True), 0), (3, 32, 32), 10)
    assert str(weights_folder) in str(caught.value)
    assert "download: true" in str(caught.value)


def test_pretrained_weights_that_cannot_be_read_are_named(weights_folder: Path) -> None:
    publish(weights_folder, nn.Linear(1, 1))
    (file,) = weights_folder.iterdir()
    file.write_bytes(b"not weights")
    with pytest.raises(DataError, match="holds no weights; delete it") as caught:
        build_model(whole(named("mobilenet", pretrained_models=True), 0), (3, 32, 32), 10)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize("model_type", ["logistic", "mlp", "cnn", "lenet", "resnet20"])
def test_our_own_models_have_no_pretrained_weights(model_type: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build_model(Sections(training=named(model_type, pretrained_models=True)), (1, 8, 8), 10)
    assert caught.value.faults[0].key == "pretrained_models"


def test_the_page_has_every_model_with_its_options() -> None:
    page = (Path(__file__).parents[3] / "docs" / "models.md").read_text(encoding="utf-8")
    told = {}
    for line in page.splitlines():
        if line.startswith("| `"):
            _, names, _, options, _ = line.split("|")
            for name in re.findall(r"`(\w+)`", names):
                told[name] = dict(re.findall(r"`(\w+): ([^`]+)`", options))
    kind, written = KINDS["model"], {"True": "true", "False": "false"}
    ours = {}
    for name in builtin_names(kind):
        parameters = inspect.signature(load_builtin(kind, name)).parameters.values()
        asked = (one for one in parameters if one.name not in kind.on_offer)
        own = {one.name: "FOLDER" if one.default is one.empty else str(one.default) for one in asked}
        ours[name] = {option: written.get(value, value) for option, value in own.items()}

    assert told == ours


def test_our_own_models_need_no_torchvision() -> None:
    code = (
        "import sys, fedchunk.orchestrator.learning.engines.training, fedchunk.orchestrator.learning.evaluation\n"
        "from fedchunk.orchestrator.learning.build import build_model\n"
        "from fedchunk.orchestrator.settings.joined import Sections\n"
        "build_model(Sections(), (1, 8, 8), 10); sys.exit('torchvision' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=120).returncode == 0
