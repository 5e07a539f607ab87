"""Metrics: built in and of a user's own; parts of a test set add up, and the coordinator needs no torch for them."""

from __future__ import annotations

import subprocess
import sys
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score, recall_score
from torch import Tensor, nn
from torch.nn import functional

from fedchunk.orchestrator.component_source import find, from_object
from fedchunk.orchestrator.components import Component, Components
from fedchunk.orchestrator.contract.evaluation import EvaluationSums
from fedchunk.orchestrator.core.errors import ComponentFailed
from fedchunk.orchestrator.learning.engines.flatten import FlatModel
from fedchunk.orchestrator.learning.evaluation import evaluate
from fedchunk.orchestrator.learning.loss import Loss
from fedchunk.orchestrator.learning.measures import Measures
from fedchunk.orchestrator.registry import KINDS, builtin_names
from fedchunk.orchestrator.settings.running import TrackingSettings
from fedchunk.orchestrator.settings.sections import TrainingSettings
from fedchunk.orchestrator.settings.whole import Settings

CLASSES, SAMPLES = 7, 60


def named(*metrics: str, own: tuple[Component, ...] = ()) -> Settings:
    return Settings(tracking=TrackingSettings(metrics=metrics), components=Components(own))


def of_own(*things: Any) -> Settings:
    components = tuple(from_object(KINDS["metric"], thing) for thing in things)
    return named(*(component.name for component in components), own=components)


def from_file(folder: Path, source: str, *names: str) -> Settings:
    (folder / "mine.py").write_text(source)
    components = tuple(find(KINDS["metric"], f"./mine.py:{name}", folder) for name in names)
    return named(*(component.name for component in components), own=components)


def data(classes: int = CLASSES) -> tuple[Tensor, Tensor]:
    """Labels of which some are rare, and one is missing though it is answered."""
    random = torch.Generator().manual_seed(0)
    x_S = torch.randn(SAMPLES, 4, generator=random)
    y_S = torch.randint(classes - 1, (SAMPLES,), generator=random)
    return x_S, torch.where(y_S == 2, 1, y_S)


def model(classes: int = CLASSES) -> FlatModel:
    torch.manual_seed(1)
    return FlatModel(nn.Linear(4, classes), "cpu")


def measured(settings: Settings, batch_size: int = 60, shards: int = 1, classes: int = CLASSES) -> dict[str, float]:
    """The values by a coordinator that knows the sums alone."""
    x_S, y_S = data(classes)
    loss, measures = Loss.of(settings), Measures(settings)
    sums = [
        evaluate(model(classes), x_S[shard], y_S[shard], batch_size, loss, measures)
        for shard in (slice(start, start + SAMPLES // shards) for start in range(0, SAMPLES, SAMPLES // shards))
    ]
    return Measures(settings).values(reduce(add, sums, EvaluationSums(0, 0.0, 0)))


def answers(classes: int = CLASSES) -> tuple[Any, Any]:
    x_S, y_S = data(classes)
    with torch.no_grad():
        return model(classes).module(x_S).argmax(dim=1).numpy(), y_S.numpy()


@pytest.mark.parametrize(("batch_size", "shards"), [(60, 1), (7, 1), (7, 4), (1, 60)])
def test_built_in_metrics_are_those_of_scikit_learn_however_the_test_set_is_cut(batch_size: int, shards: int) -> None:
    found = measured(named("accuracy", "loss", "f1_macro", "per_class", "top5"), batch_size, shards)
    guessed, right = answers()
    assert found["accuracy"] == pytest.approx((guessed == right).mean(), rel=1e-12)
    assert found["f1_macro"] == pytest.approx(f1_score(right, guessed, average="macro", zero_division=0), rel=1e-12)
    recalls = recall_score(right, guessed, average=None, labels=range(CLASSES), zero_division=0)
    present = np.unique(right)
    assert {name for name in found if "/" in name} == {f"per_class/{label}" for label in present}
    assert [found[f"per_class/{label}"] for label in present] == pytest.approx(recalls[present])
    with torch.no_grad():
        logits = model().module(data()[0])
    assert found["loss"] == pytest.approx(functional.cross_entropy(logits.double(), data()[1]).item(), rel=1e-7)
    best = np.argsort(-logits.numpy(), axis=1)[:, :5]
    assert found["top5"] == pytest.approx((best == right[:, None]).any(axis=1).mean(), rel=1e-12)
    assert 0 < found["f1_macro"] < found["top5"] < 1


def test_of_few_classes_all_are_among_the_best_five() -> None:
    assert measured(named("top5"), classes=4) == {"top5": 1.0}


def test_the_mean_loss_is_the_settings_own_where_that_is_one_s_own() -> None:
    loss = from_object(KINDS["loss"], lambda outputs, targets: (outputs**2).mean())
    settings = Settings(
        training=TrainingSettings(loss_function=loss.name),
        tracking=TrackingSettings(metrics=("loss",)),
        components=Components((loss,)),
    )
    with torch.no_grad():
        expected = (model().module(data()[0]) ** 2).mean().item()
    assert measured(settings)["loss"] == pytest.approx(expected, rel=1e-6)


def test_no_metrics_leave_the_sums_as_they_are() -> None:
    x_S, y_S = data()
    settings = named()
    assert not Measures(settings)
    with_none = evaluate(model(), x_S, y_S, 7, Loss.of(settings), Measures(settings))
    assert with_none == evaluate(model(), x_S, y_S, 7, Loss.of(settings))
    assert (with_none.parts, with_none.num_classes) == ({}, 0)
    assert Measures(settings).values(with_none) == {}


def test_built_in_metrics_are_read_without_torch() -> None:
    names = tuple(builtin_names(KINDS["metric"]))
    code = (
        "import sys\n"
        "from fedchunk.orchestrator.learning.measures import Measures\n"
        "from fedchunk.orchestrator.settings.joined import Sections\n"
        "from fedchunk.orchestrator.settings.running import TrackingSettings\n"
        f"settings = Sections(tracking=TrackingSettings(metrics={names!r}))\n"
        "assert [bound.function for bound in Measures(settings)._bounds.values()]\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert len(names) >= 5
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def confident(outputs: Tensor, targets: Tensor, num_classes: int) -> tuple[float, int]:
    assert num_classes == outputs.shape[1] == CLASSES
    return float((outputs.softmax(dim=1).amax(dim=1) > 0.5).sum()), len(targets)


class Extremes:
    """Largest and smallest mean output of a class."""

    def __init__(self, num_classes: int) -> None:
        assert num_classes == CLASSES

    def parts(self, outputs: Tensor, targets: Tensor) -> Any:
        return np.append(outputs.sum(dim=0).numpy(), len(targets))

    def value(self, parts: Any) -> dict[str, float]:
        means = parts[:-1] / parts[-1]
        return {"largest": means.max(), "smallest": means.min()}


class Rate:
    """A scalar that adds up."""

    def parts(self, outputs: Tensor, targets: Tensor) -> float:
        return float(targets.sum())

    def value(self, parts: Any) -> float:
        return float(parts[0])


def test_metrics_of_ones_own_are_functions_and_classes() -> None:
    for cut in ({}, {"batch_size": 7, "shards": 4}):
        found = measured(of_own(confident, Extremes, Rate), **cut)
        with torch.no_grad():
            outputs = model().module(data()[0])
        assert found["confident"] == pytest.approx((outputs.softmax(1).amax(1) > 0.5).float().mean().item())
        means = outputs.mean(dim=0)
        assert found["Extremes/largest"] == pytest.approx(means.max().item(), rel=1e-5)
        assert found["Extremes/smallest"] == pytest.approx(means.min().item(), rel=1e-5)
        assert found["Rate"] == data()[1].sum()


def test_two_of_one_name_are_called_by_their_whole_places(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    source = "def accuracy(targets):\n    return 1.0, len(targets)\n"
    components = []
    for folder in ("", "sub/"):
        (tmp_path / folder / "mine.py").write_text(source)
        components.append(find(KINDS["metric"], f"./{folder}mine.py:accuracy", tmp_path))
    settings = named("./mine.py:accuracy", "accuracy", "./sub/mine.py:accuracy", "loss", own=tuple(components))
    assert Measures(settings).names == ("./mine.py:accuracy", "accuracy", "./sub/mine.py:accuracy", "loss")
    assert set(measured(settings)) == set(Measures(settings).names)
    assert Measures(named("./mine.py:accuracy", own=tuple(components))).names == ("accuracy",)


METRICS = {
    "return 0.5": r":1\): returned float, expected \(sum, weight\)",
    "return 1, 2, 3": r":1\): returned tuple, expected \(sum, weight\)",
    "return float('nan'), 1": r":1\): returned nan where a finite number is expected",
    "return outputs.sum() * float('inf'), 1": r":1\): returned (-?inf|nan) where",
    "return outputs, 1": r":1\): RuntimeError|:1\): ValueError",
    "return 'much', 1": r":1\): returned str where",
    "return 1, -1": r":1\): returned the weight -1",
    "return 1, 0": r":1\): its weights add up to 0",
    "return outputs.nothing, 1": r":2\): AttributeError",
    "return {}[0]": r":2\): KeyError",
}


@pytest.mark.parametrize("body", METRICS)
def test_what_a_function_must_not_return_is_named_with_its_place(tmp_path: Path, body: str) -> None:
    settings = from_file(tmp_path, f"def mine(outputs):\n    {body}\n", "mine")
    with pytest.raises(ComponentFailed, match=METRICS[body]) as caught:
        measured(settings)
    assert str(caught.value).startswith(f"metrics ./mine.py:mine ({tmp_path / 'mine.py'}")


CLASS = """class mine:
    def __init__(self{asks}):
        pass

    def parts(self, outputs, targets):
        return {parts}

    def value(self, parts):
        return {value}
"""


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"parts": "[1, float('nan')]"}, r":1\): has parts that are not finite"),
        ({"parts": "'much'"}, r":1\): ValueError"),
        ({"parts": "outputs.nothing"}, r":6\): AttributeError"),
        ({"value": "float('nan')"}, r":1\): returned nan where"),
        ({"value": "{'a': 1, 'b': None}"}, r":1\): returned NoneType where"),
        ({"value": "parts[9]"}, r":9\): IndexError"),
        ({"asks": ", outputs"}, r":1\): asks for more than num_classes"),
    ],
)
def test_what_a_class_must_not_do_is_named_with_its_place(tmp_path: Path, changed: dict[str, str], reason: str) -> None:
    source = CLASS.format(**{"asks": "", "parts": "[1.0, 2.0]", "value": "parts[0]"} | changed)
    with pytest.raises(ComponentFailed, match=reason) as caught:
        measured(from_file(tmp_path, source, "mine"))
    assert str(tmp_path / "mine.py") in str(caught.value)


def test_parts_of_other_shapes_are_not_added() -> None:
    some, other = ({"mine": np.ones((1, size))} for size in (1, 3))
    with pytest.raises(ValueError, match=r"mine: parts of shapes \(1, 1\) and \(1, 3\)"):
        EvaluationSums(0, 0.0, 0, some) + EvaluationSums(0, 0.0, 0, other)


def test_sums_with_parts_add_up_in_any_order() -> None:
    one, other = EvaluationSums(1, 2.0, 3, {"a": np.array([1.0, 2.0])}, 5), EvaluationSums(2, 1.0, 3, {}, 0)
    for total in (one + other, other + one):
        assert (total.correct, total.num_classes, total.parts["a"].tolist()) == (3, 5, [1.0, 2.0])
