"""Models of transformers that answer once for a text: padding, the head, adapters, and back in their libraries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import fedchunk
from fedchunk.orchestrator.core.errors import ConfigError
from fedchunk.orchestrator.learning.build import build_model, model_spec

transformers = pytest.importorskip("transformers")
peft = pytest.importorskip("peft")
# What peft asks transformers for, in its own code.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

WIDTH, LABELS, LENGTH, VOCABULARY, PAD = 8, 3, 9, 20, 19
RNG = np.random.default_rng(5)
SIZES = RNG.integers(1, LENGTH + 1, 48)
TOKENS = np.where(np.arange(LENGTH) < SIZES[:, None], RNG.integers(0, PAD, (48, LENGTH)), -1)
BASE: dict[str, Any] = {
    "dataset_type": "arrays", "number_of_clients": 4, "federated_learning_rounds": 2, "train_batch_size": 4,
    "device": "cpu", "mlflow_enabled": False, "learning_rate": 0.2, "chunking": False, "model_type": "huggingface",
    "data_distribution_kind": "iid",
}  # fmt: skip
LORA: dict[str, Any] = {"lora_rank": 2}
SHAPE = (LENGTH,)


@pytest.fixture(autouse=True)
def without_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """The report takes longer than these runs."""
    monkeypatch.setattr("fedchunk.orchestrator.run._write_report", lambda folder: folder / "report.html")


def config_of(kind: str, **more: Any) -> Any:
    sizes = {"hidden_size": WIDTH, "intermediate_size": 12, "num_hidden_layers": 1, "num_attention_heads": 2}
    of_all = {"vocab_size": VOCABULARY, "pad_token_id": PAD, "bos_token_id": 1, "eos_token_id": 2, **more}
    if kind == "gpt2":
        return transformers.GPT2Config(n_positions=32, n_embd=WIDTH, n_layer=1, n_head=2, **of_all)
    made = transformers.BertConfig if kind == "bert" else transformers.LlamaConfig
    return made(max_position_embeddings=32, **sizes, **of_all)


def saved(folder: Path, kind: str, auto: str, **more: Any) -> str:
    torch.manual_seed(0)
    getattr(transformers, auto).from_config(config_of(kind, **more)).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module", params=["bert", "gpt2", "llama"])
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny model that was trained for something else: of bert it lacks what stands before the head, too."""
    auto = "AutoModelForMaskedLM" if request.param == "bert" else "AutoModelForCausalLM"
    return saved(tmp_path_factory.mktemp(request.param) / "model", request.param, auto)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("data")
    y = TOKENS[:, 0] % LABELS
    np.savez(folder / "all.npz", train_x=TOKENS, train_y=y, test_x=TOKENS[:9], test_y=y[:9])
    return {"data_dir": str(folder), "dataset_options": {"file": "all.npz"}}


def rules(path: str, data: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {**BASE, **data, "model_options": {"path": path}, **more}


def run(output: Path, path: str, data: dict[str, Any], **more: Any) -> fedchunk.Run:
    return fedchunk.run(rules(path, data, **more), output=output, local=True, progress=False)


def built(path: str, num_classes: int = LABELS, **more: Any) -> nn.Module:
    of_model = {"dataset_type": "synthetic", "model_options": {"path": path}}
    return build_model(fedchunk.load_settings({**BASE, **of_model, **more}), SHAPE, num_classes)


def answers(module: nn.Module, tokens: Any = TOKENS) -> Any:
    with torch.no_grad():
        return module.eval()(torch.from_numpy(tokens)).numpy()


def answers_of_theirs(module: Any, tokens: Any = TOKENS) -> Any:
    """One text after the other, as long as it is: nothing is padded."""
    rows = [torch.from_numpy(row[row >= 0][np.newaxis]) for row in tokens]
    with torch.no_grad():
        return np.concatenate([module.eval()(input_ids=row).logits.numpy() for row in rows])


def sizes_sent(found: fedchunk.Run) -> set[int]:
    return {row["bytes"] for row in found.ledger.to_pylist() if row["kind"] == "values"}


def test_what_stands_behind_a_text_changes_nothing(base: str) -> None:
    module = built(base)
    known = answers(module)
    np.testing.assert_allclose(answers_of_theirs(theirs_with_weights_of(module, base)), known, atol=1e-6)
    longer = np.concatenate([TOKENS, np.full((len(TOKENS), 5), -1)], axis=1)
    np.testing.assert_allclose(answers(module, longer), known, atol=1e-6)
    swapped = TOKENS.copy()
    swapped[:, 0] = (swapped[:, 0] + 1) % PAD
    assert not np.allclose(answers(module, swapped), known, atol=1e-4)


def theirs_with_weights_of(module: nn.Module, base: str) -> Any:
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(
        base, num_labels=LABELS, attn_implementation="eager"
    )
    theirs.load_state_dict(module.state_dict())
    return theirs


def test_the_head_is_drawn_from_the_seed_and_the_rest_is_the_folders(base: str) -> None:
    def values(**more: Any) -> dict[str, np.ndarray]:
        return {name: tensor.numpy().copy() for name, tensor in built(base, **more).state_dict().items()}

    torch.manual_seed(1)
    one = values()
    torch.manual_seed(2)
    again, other = values(), values(random_seed=9)
    differs = {name.rpartition(".")[0] for name, tensor in one.items() if not np.array_equal(tensor, other[name])}
    assert differs in ({"score"}, {"classifier", "bert.pooler.dense"})
    for name, tensor in one.items():
        np.testing.assert_array_equal(tensor, again[name], err_msg=name)


def test_the_whole_model_is_trained_under_its_own_names(base: str, data: dict[str, Any], tmp_path: Path) -> None:
    found = run(tmp_path / "run", base, data)
    assert found.rounds["loss"][-1].as_py() > 0
    theirs = found.load_into(transformers.AutoModelForSequenceClassification.from_pretrained(base, num_labels=LABELS))
    ours = found.load_into(built(base))
    np.testing.assert_allclose(answers_of_theirs(theirs), answers(ours), atol=1e-5)
    moved = [
        name for name, tensor in built(base).state_dict().items() if not np.array_equal(tensor, found.weights[name])
    ]
    assert len(moved) > 10


def test_adapters_and_the_head_are_exchanged_and_load_in_peft(base: str, data: dict[str, Any], tmp_path: Path) -> None:
    one, two = (run(tmp_path / str(count), base, data, number_of_actors=count, **LORA) for count in (1, 2))
    assert one.summary["weights_sha256"] == two.summary["weights_sha256"]
    spec = model_spec(fedchunk.load_settings(rules(base, data, **LORA)), SHAPE, LABELS)
    names = {parameter.name for parameter in spec.parameters}
    head = {name for name in names if "lora_" not in name}
    assert {name.split(".")[0] for name in head} <= {"score", "classifier", "bert"}
    assert all("lora_" in name or name.startswith(("score", "classifier", "bert.pooler")) for name in names)
    assert sizes_sent(one) == {4 * spec.num_parameters}

    known = answers(one.load_into(built(base, **LORA)))
    fedchunk.export(one.path, tmp_path / "adapter")
    auto = transformers.AutoModelForSequenceClassification
    form = {"num_labels": LABELS, "attn_implementation": "eager"}
    loaded = peft.PeftModel.from_pretrained(auto.from_pretrained(base, **form), str(tmp_path / "adapter"))
    np.testing.assert_allclose(answers_of_theirs(loaded), known, atol=1e-5)
    itself = peft.AutoPeftModelForSequenceClassification.from_pretrained(str(tmp_path / "adapter"), **form)
    np.testing.assert_allclose(answers_of_theirs(itself), known, atol=1e-5)

    fedchunk.export(one.path, tmp_path / "merged", merged=True)
    merged = auto.from_pretrained(tmp_path / "merged", attn_implementation="eager")
    np.testing.assert_allclose(answers_of_theirs(merged), known, atol=1e-5)
    again = built(str(tmp_path / "merged"))  # a folder with a head keeps it
    np.testing.assert_allclose(answers(again), known, atol=1e-5)
    assert not np.allclose(answers(built(base)), known, atol=1e-4)


def test_numbers_and_flags_are_answered_too(tmp_path: Path) -> None:
    path = saved(tmp_path / "model", "bert", "AutoModel")
    for task, targets in (("regression", RNG.normal(size=(48, 2))), ("multilabel", RNG.integers(0, 2, (48, 2)))):
        folder = tmp_path / task
        folder.mkdir()
        np.savez(folder / "all.npz", train_x=TOKENS, train_y=targets, test_x=TOKENS[:9], test_y=targets[:9])
        of_task = {"data_dir": str(folder), "dataset_options": {"file": "all.npz"}}
        found = run(tmp_path / f"run {task}", path, of_task, task=task)
        assert found.weights["classifier.weight"].shape == (2, WIDTH)


def test_what_does_not_do_is_named(tmp_path: Path) -> None:
    head = saved(tmp_path / "head", "bert", "AutoModelForSequenceClassification", num_labels=4)
    with pytest.raises(ConfigError, match="path: the model answers 4 labels, but the data have 3"):
        built(head)
    assert answers(built(head, 4)).shape == (48, 4)
    with pytest.raises(ConfigError, match=r"config\.json has no pad_token_id"):
        built(saved(tmp_path / "none", "gpt2", "AutoModelForCausalLM", pad_token_id=None))
    with pytest.raises(ValueError, match="'huggingface' knows 20 tokens, 0 to 19; a sample has the token 20"):
        answers(built(head, 4), np.full((1, LENGTH), 20))
    with pytest.raises(TypeError, match="needs samples of tokens"):
        answers(built(head, 4), np.zeros((1, LENGTH), np.float32))
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "config.json").write_text((tmp_path / "head" / "config.json").read_text())
    with pytest.raises(ConfigError, match="holds no model for sequences that can be loaded"):
        built(str(tmp_path / "empty"), 4)
