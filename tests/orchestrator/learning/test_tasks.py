"""Tasks: what targets may be and what is said of others, losses and metrics by hand, which settings suit them."""

from __future__ import annotations

import math
from functools import reduce
from operator import add
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score, mean_absolute_error, r2_score
from torch import Tensor, nn

from fedchunk.orchestrator.contract.evaluation import EvaluationSums
from fedchunk.orchestrator.core.errors import ComponentFailed, ConfigError, DataError
from fedchunk.orchestrator.core.target import Target
from fedchunk.orchestrator.learning.data.dataset import Dataset, LoadedDataset
from fedchunk.orchestrator.learning.data.facts import data_facts
from fedchunk.orchestrator.learning.data.load import load_dataset
from fedchunk.orchestrator.learning.engines.engine_choice import plan_training
from fedchunk.orchestrator.learning.engines.flatten import FlatModel
from fedchunk.orchestrator.learning.evaluation import evaluate
from fedchunk.orchestrator.learning.loss import Loss
from fedchunk.orchestrator.learning.measures import Measures
from fedchunk.orchestrator.registry import KINDS
from fedchunk.orchestrator.settings.loading import parse
from fedchunk.orchestrator.settings.whole import Settings

X = np.linspace(-1, 1, 24).reshape(8, 3)
TOKENS = np.arange(40).reshape(8, 5) % 7


def settings_of(**values: Any) -> Settings:
    return parse("chunking: false", "settings", (), values).settings


def any_tokens(num_classes: int) -> nn.Module:
    return nn.Embedding(num_classes, num_classes)


def loaded(task: str, **changed: Any) -> LoadedDataset:
    arrays: dict[str, Any] = {"train_x": X, "test_x": X[:2]} | changed
    return load_dataset(settings_of(dataset_type=lambda: Dataset(**arrays), task=task, model_type=any_tokens))


def test_targets_are_what_the_task_says() -> None:
    one = loaded("regression", train_y=np.arange(8), test_y=np.arange(2))
    assert (one.train_y.dtype, one.train_y.shape, one.num_classes) == (np.float32, (8,), 1)
    some = loaded("regression", train_y=X, test_y=X[:2])
    assert (some.train_y.shape, some.num_classes) == ((8, 3), 3)
    flags = loaded("multilabel", train_y=X > 0, test_y=X[:2] > 0)
    assert (flags.train_y.dtype, flags.num_classes) == (np.float32, 3)
    text = {"train_x": TOKENS[:, :-1], "train_y": TOKENS[:, 1:], "test_x": TOKENS[:2, :-1], "test_y": TOKENS[:2, 1:]}
    tokens = loaded("language_model", **text)
    assert (tokens.train_y.dtype, tokens.train_y.shape, tokens.num_classes) == (np.int64, (8, 4), 7)
    assert loaded("language_model", **text, num_classes=256).num_classes == 256
    sizes = loaded("language_model", **text, token_bytes=np.arange(1, 8)).token_bytes_V
    assert sizes is not None
    assert sizes.tolist() == list(range(1, 8))


TEXT = {"train_x": TOKENS, "test_x": TOKENS[:2], "train_y": TOKENS, "test_y": TOKENS[:2]}
TARGETS: dict[str, dict[str, Any]] = {
    "regression": {"train_y": X, "test_y": X[:2]},
    "multilabel": {"train_y": X > 0, "test_y": X[:2] > 0},
    "language_model": TEXT,
}


@pytest.mark.parametrize(
    ("task", "changed", "reason"),
    [
        ("regression", {"train_y": np.where(X > 0.95, np.nan, X)}, r"train_y holds nan at sample 7, column 2"),
        ("regression", {"test_y": [1, np.inf]}, r"test_y holds inf at sample 1"),
        ("regression", {"train_y": np.full(8, 1e300)}, "expected finite numbers within float32"),
        ("regression", {"train_y": np.zeros((8, 2, 2))}, r"shape \(8, 2, 2\), expected one number for each sample"),
        ("regression", {"train_y": ["a"] * 8}, "expected numbers"),
        ("regression", {"test_y": X[:2, :2]}, r"targets of shape \(3,\), test_y of \(2,\)"),
        ("regression", {"num_classes": 2}, "num_classes is 2, but a sample has 3 targets"),
        ("multilabel", {"train_y": np.where(X > 0.95, 2, 0)}, "train_y holds 2 at sample 7, label 2; expected 0 or 1"),
        ("multilabel", {"train_y": np.zeros(8)}, r"shape \(8,\), expected 0 or 1 for each label: \(S, L\)"),
        ("language_model", {"train_y": TOKENS[:, 1:]}, r"shape \(8, 4\), expected the next token at each place"),
        ("language_model", {"train_y": TOKENS - 1}, "train_y holds the token -1"),
        ("language_model", {"train_x": TOKENS - 1}, "samples of train_y hold the token -1"),
        ("language_model", {"num_classes": 6}, "a token is 6, but num_classes is 6: allowed are 0 to 5"),
        ("language_model", {"train_x": X, "train_y": X}, r"expected whole numbers, tokens: \(S, T\)"),
        ("language_model", {"token_bytes": [1, 1]}, r"token_bytes is .*expected whole numbers from 0 of shape \(7,\)"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_targets_is_said_with_the_place(task: str, changed: dict[str, Any], reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        loaded(task, **(TARGETS[task] | changed))


def measured(
    task: str, module: nn.Module, x: Any, y: Any, metrics: list[str], cuts: int = 1, sizes: Any = None
) -> tuple[EvaluationSums, dict[str, float]]:
    settings = settings_of(task=task, metrics=metrics, model_type="mlp" if task != "language_model" else any_tokens)
    loss, measures = Loss.of(settings), Measures(settings, sizes)
    model = FlatModel(module, "cpu")
    x_S, y_S = torch.as_tensor(x), torch.as_tensor(y)
    step = len(x_S) // cuts
    parts = [
        evaluate(model, x_S[i : i + step], y_S[i : i + step], step, loss, measures) for i in range(0, len(x_S), step)
    ]
    total = reduce(add, parts, EvaluationSums(0, 0.0, 0))
    return total, Measures(settings).values(total)


class Constant(nn.Module):
    """Answers what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.one


@pytest.mark.parametrize("cuts", [1, 2, 8])
def test_metrics_of_numbers_are_those_of_the_whole_however_it_is_cut(cuts: int) -> None:
    random = np.random.default_rng(0)
    answers, right = random.standard_normal((2, 16, 3)).astype(np.float32)
    right += 5
    sums, found = measured("regression", Constant(), answers, right, ["mae", "loss"], cuts)
    assert list(found) == ["rmse", "r2", "mae", "loss"]
    off = answers.astype(np.float64) - right
    assert found["rmse"] == pytest.approx(math.sqrt((off**2).mean()), rel=1e-12)
    assert found["mae"] == pytest.approx(mean_absolute_error(right, answers), rel=1e-6)
    assert found["r2"] == pytest.approx(r2_score(right.astype(float), answers.astype(float)), rel=1e-9)
    assert found["loss"] == sums.loss == pytest.approx((off**2).mean(), rel=1e-12)
    assert sums.accuracy is None


def test_metrics_of_numbers_by_hand() -> None:
    _, found = measured("regression", Constant(), [[1.0], [2.0], [3.0]], [2.0, 2.0, 5.0], [])
    assert found["rmse"] == pytest.approx(math.sqrt((1 + 0 + 4) / 3))
    assert found["r2"] == pytest.approx(1 - 5 / 6)  # the mean is 3, so the targets' squares are 1 + 1 + 4
    for answers, expected in (([[7.0], [7.0]], 1.0), ([[7.0], [8.0]], 0.0)):
        assert measured("regression", Constant(), answers, [7.0, 7.0], [])[1]["r2"] == expected
        assert r2_score([7.0, 7.0], answers) == expected


@pytest.mark.parametrize("cuts", [1, 3, 15])
def test_metrics_of_flags_are_those_of_scikit_learn(cuts: int) -> None:
    random = np.random.default_rng(1)
    answers = random.standard_normal((30, 5)).astype(np.float32)
    right = (random.random((30, 5)) < 0.4).astype(np.float32)
    right[:, 4] = 0
    answers[:, 4] = -1  # a label that is never there and never answered
    _, found = measured("multilabel", Constant(), answers, right, ["loss", "per_class"], cuts)
    assert found["f1_macro"] == pytest.approx(f1_score(right, answers > 0, average="macro", zero_division=np.nan))
    assert found["f1_micro"] == pytest.approx(f1_score(right, answers > 0, average="micro", zero_division=0))
    chances = 1 / (1 + np.exp(-answers.astype(np.float64)))
    nats = -np.log(np.where(right > 0, chances, 1 - chances))
    assert found["loss"] == pytest.approx(nats.mean())
    assert {name for name in found if name.startswith("per_class")} == {f"per_class/{label}" for label in range(4)}


class Table(nn.Module):
    """Answers each token with the logits of its row."""

    def __init__(self, logits: Any) -> None:
        super().__init__()
        self.rows = nn.Embedding.from_pretrained(torch.tensor(logits, dtype=torch.float32), freeze=False)

    def forward(self, tokens: Tensor) -> Tensor:
        rows: Tensor = self.rows(tokens)
        return rows


@pytest.mark.parametrize("cuts", [1, 2])
def test_of_a_language_model_each_token_counts(cuts: int) -> None:
    # After 0 comes 0 with 3/4 and 1 with 1/4; after 1 both with 1/2.
    module = Table(np.log([[0.75, 0.25], [0.5, 0.5]]))
    x, y = [[0, 0, 1], [1, 0, 1]], [[0, 1, 0], [0, 1, 1]]
    sums, found = measured("language_model", module, x, y, ["accuracy", "loss"], cuts)
    bits = (-math.log2(0.75) + 2 + 1 + 1 + 2 + 1) / 6
    assert list(found) == ["perplexity", "bits_per_byte", "accuracy", "loss"]
    assert found["bits_per_byte"] == pytest.approx(bits)
    assert found["perplexity"] == pytest.approx(2**bits)
    assert found["loss"] == sums.loss == pytest.approx(bits * math.log(2))
    assert (sums.num_samples, sums.accuracy) == (6, None)
    right = torch.tensor(y).flatten() == module(torch.tensor(x)).argmax(dim=2).flatten()
    assert found["accuracy"] == pytest.approx(right.double().mean().item())
    _, longer = measured("language_model", module, x, y, [], cuts, np.array([1, 3]))
    assert longer["bits_per_byte"] == pytest.approx(bits * 6 / (3 * 1 + 3 * 3))
    assert longer["perplexity"] == found["perplexity"]


def test_a_language_model_that_is_far_off_is_said_to_be_far_off() -> None:
    _, found = measured("language_model", Table([[0.0, 1e5], [0.0, 0.0]]), [[0]], [[0]], [])
    assert found["perplexity"] == pytest.approx(math.exp(700))
    assert math.isfinite(found["bits_per_byte"])


@pytest.mark.parametrize(
    ("task", "target"),
    [
        ("classification", Target()), ("regression", Target("rmse", lower=True)), ("multilabel", Target("f1_macro")),
        ("language_model", Target("bits_per_byte", lower=True)),
    ],
)  # fmt: skip
def test_what_runs_are_judged_by_follows_the_task(task: str, target: Target) -> None:
    more: dict[str, Any] = {"model_type": any_tokens} if task == "language_model" else {}
    assert settings_of(task=task, **more).target == target
    other = settings_of(task=task, target_metric="loss", **more)
    assert (other.target, "loss" in other.measured) == (Target("loss", lower=True), True)
    turned = settings_of(task=task, target_metric="loss", target_direction="higher", **more)
    assert turned.target == Target("loss", lower=False)


def test_without_a_word_nothing_more_is_measured_and_the_loss_is_cross_entropy() -> None:
    settings = settings_of()
    assert (settings.measured, settings.name_of(KINDS["loss"])) == ((), "CrossEntropy")
    assert settings_of(target_metric="F1_macro").measured == ("f1_macro",)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"task": "regression", "loss_function": "CrossEntropy"}, "here: mean_absolute_error, mean_squared_error"),
        ({"loss_function": "mean_squared_error"}, "allowed here: CrossEntropy, SmoothCrossEntropy"),
        ({"task": "regression", "metrics": ["f1_macro"]}, "got f1_macro with task regression"),
        ({"task": "regression", "target_metric": "accuracy"}, "got accuracy with task regression"),
        ({"task": "multilabel", "data_distribution_kind": "dir"}, "allowed here: file, iid, natural, iid-diff"),
        ({"task": "regression", "data_distribution_kind": "20"}, "goes by the label of each sample"),
        ({"task": "language_model"}, "got mlp, which answers once for a sample"),
        ({"target_metric": "smoothness"}, "got smoothness, which is not measured"),
        ({"task": "regression", "stop_avg_accuracy": 0.9}, "judged by rmse; use stop_target"),
        ({"stop_target": 0.8, "stop_avg_accuracy": 0.9}, "got both"),
        ({"task": "ranking"}, "classification, language_model, multilabel, regression"),
        ({"metrics": [lambda outputs, targets: (0.0, 1)], "target_metric": "<lambda>"}, "higher or lower"),
    ],
)  # fmt: skip
def test_what_does_not_suit_the_task_is_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        settings_of(**values)


@pytest.mark.parametrize("task", ["regression", "multilabel"])
def test_clients_are_trained_at_once_only_where_a_sample_has_one_label(task: str) -> None:
    module = nn.Sequential(nn.Linear(3, 3))
    plans = []
    for settings in (settings_of(task=task), settings_of()):
        plans.append(plan_training(module, settings.training, Loss.of(settings), "cpu"))
    assert [plan.engine for plan in plans] == ["one_by_one", "dense"]
    assert task in plans[0].reason


@pytest.mark.parametrize("task", ["classification", "regression", "multilabel", "language_model"])
def test_the_synthetic_data_set_has_targets_of_each_task(task: str) -> None:
    more: dict[str, Any] = {"model_type": any_tokens} if task == "language_model" else {}
    settings = settings_of(task=task, dataset_type="synthetic", synthetic_samples=60, synthetic_test_samples=20, **more)
    data, again = load_dataset(settings), load_dataset(settings)
    np.testing.assert_array_equal(data.train_y, again.train_y)
    facts = data_facts(settings)
    assert (facts.input_shape, facts.num_classes) == (data.input_shape, data.num_classes)
    arrays = (data.train_x, data.train_y, data.test_x, data.test_y)
    assert facts.num_bytes == sum(array.nbytes for array in arrays)
    assert data.num_classes == {"regression": 1}.get(task, 10)


def test_a_user_s_model_that_answers_something_else_is_named() -> None:
    from fedchunk.orchestrator.learning.build import flat_model

    settings = settings_of(task="language_model", model_type=lambda num_classes: nn.Embedding(num_classes, 3))
    with pytest.raises(ComponentFailed, match=r"with shape \(2, 4, 3\), expected a tensor \(2, 4, 7\)"):
        flat_model(settings, (4,), 7, "cpu").logits(torch.zeros((2, 4), dtype=torch.int64))
