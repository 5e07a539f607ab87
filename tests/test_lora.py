"""Low-rank adapters: of a transformer that fedchunk trained first, of models of transformers, and in peft again."""

from __future__ import annotations

import re
import sys
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch import nn
from typer.testing import CliRunner

import fedchunk
from fedchunk.orchestrator.cli import app
from fedchunk.orchestrator.commands.plan import make_plan
from fedchunk.orchestrator.core.errors import ConfigError
from fedchunk.orchestrator.learning.build import build_model, flat_model, model_spec
from fedchunk.orchestrator.learning.data.facts import data_facts

# What peft asks transformers for, in its own code.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

VOCABULARY, WIDTH, RANK = 16, 8, 2
BASE: dict[str, Any] = {
    "task": "language_model", "dataset_type": "synthetic", "synthetic_samples": 64, "synthetic_test_samples": 16,
    "synthetic_classes": VOCABULARY, "number_of_clients": 4, "federated_learning_rounds": 2, "train_batch_size": 8,
    "device": "cpu", "mlflow_enabled": False, "learning_rate": 0.2, "clients_per_group": 2, "chunking": False,
    "model_type": "transformer", "model_options": {"width": WIDTH, "depth": 1, "heads": 2},
}  # fmt: skip
LORA: dict[str, Any] = {"lora_rank": RANK, "lora_alpha": 4.0, "lora_targets": ["qkv", "down"]}
SIZE = RANK * (WIDTH + 3 * WIDTH) + RANK * (4 * WIDTH + WIDTH)
"""Values of these adapters: A (rank, inputs) and B (outputs, rank) beside two layers."""
STILL = {"learning_rate": 1e-30, "federated_learning_rounds": 1}
TOKENS_BT = torch.arange(12).reshape(2, 6) % VOCABULARY


@pytest.fixture(autouse=True)
def without_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """The report takes longer than these runs."""
    monkeypatch.setattr("fedchunk.orchestrator.run._write_report", lambda folder: folder / "report.html")


@pytest.fixture(scope="module")
def peft() -> Any:
    pytest.importorskip("transformers")
    return pytest.importorskip("peft")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> fedchunk.Run:
    """A transformer that was trained whole."""
    return run(tmp_path_factory.mktemp("base") / "run")


@pytest.fixture(scope="module")
def adapted(peft: Any, base: fedchunk.Run, tmp_path_factory: pytest.TempPathFactory) -> fedchunk.Run:
    """Adapters of it."""
    return run(tmp_path_factory.mktemp("adapted") / "run", **LORA, initial_model=str(base.path / "weights.safetensors"))


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def folder(request: pytest.FixtureRequest, peft: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A tiny model of transformers, saved."""
    import transformers

    torch.manual_seed(0)
    more = {"vocab_size": 20, "bos_token_id": 1, "eos_token_id": 2}
    module = (
        transformers.GPT2LMHeadModel(
            transformers.GPT2Config(n_positions=96, n_embd=WIDTH, n_layer=2, n_head=2, **more)
        )
        if request.param == "gpt2"
        else transformers.LlamaForCausalLM(
            transformers.LlamaConfig(
                hidden_size=WIDTH, intermediate_size=12, num_hidden_layers=2, num_attention_heads=2,
                max_position_embeddings=96, **more,
            )
        )
    )  # fmt: skip
    path = tmp_path_factory.mktemp(request.param) / "model"
    module.save_pretrained(path)
    return path


def run(output: Any, **more: Any) -> fedchunk.Run:
    return fedchunk.run({**BASE, **more}, output=output, local=True, progress=False)


def of_folder(path: Any) -> dict[str, Any]:
    return {"model_type": "huggingface", "model_options": {"path": str(path)}}


def built(**more: Any) -> nn.Module:
    settings = fedchunk.load_settings({**BASE, **more})
    facts = data_facts(settings)
    return build_model(settings, facts.input_shape, facts.num_classes)


def answers(module: nn.Module) -> Any:
    with torch.no_grad():
        found = module.eval()(TOKENS_BT)
    return getattr(found, "logits", found).numpy()


def sent(found: fedchunk.Run) -> dict[str, list[int]]:
    """The parts of all messages by kind."""
    kinds: dict[str, list[int]] = {}
    for row in found.ledger.to_pylist():
        kinds.setdefault(row["kind"], []).append(row["bytes"])
    return kinds


def test_a_run_begins_with_what_another_has_trained_and_leaves_it_as_it_was(
    base: fedchunk.Run, adapted: fedchunk.Run, tmp_path: Any
) -> None:
    theirs = {
        name.replace(".base_layer", ""): values for name, values in adapted.weights.items() if "lora_" not in name
    }
    assert theirs.keys() == base.weights.keys()
    for name, values in base.weights.items():
        np.testing.assert_array_equal(theirs[name], values, err_msg=name)
    # B begins at zero, so that at first the model answers as the one that it began with.
    still = run(tmp_path / "still", **LORA, **STILL, initial_model=str(base.path / "weights.safetensors"))
    assert still.rounds["loss"][0].as_py() == pytest.approx(base.rounds["loss"][-1].as_py(), rel=1e-6)
    assert adapted.weights["blocks.0.down.lora_B.default.weight"].any()


def test_the_ledger_has_the_adapters_times_the_messages_and_headers(adapted: fedchunk.Run) -> None:
    kinds = sent(adapted)
    messages = 2 * BASE["number_of_clients"] * BASE["federated_learning_rounds"]
    assert kinds["values"] == [4 * SIZE] * messages
    assert kinds.keys() == {"header", "values"}
    total = sum(adapted.rounds["uplink_bytes"].to_pylist()) + sum(adapted.rounds["downlink_bytes"].to_pylist())
    assert total == messages * 4 * SIZE + sum(kinds["header"])


@pytest.mark.parametrize(
    "more",
    [
        {},
        {
            "chunking": True,
            "chunking_parts": 9,
            "sensitivity_percentage": 34.0,
            "chunk_reconstruction": "error_feedback",
        },
    ],
    ids=["all", "chunks"],
)
def test_a_plan_knows_the_bytes_and_any_actors_and_a_resumed_run_give_the_same_bits(
    base: fedchunk.Run, peft: Any, tmp_path: Any, more: dict[str, Any]
) -> None:
    rules = {**LORA, **more, "initial_model": str(base.path / "weights.safetensors"), "lora_dropout": 0.1}
    settings = fedchunk.load_settings({**BASE, **rules})
    facts = data_facts(settings)
    spec = model_spec(settings, facts.input_shape, facts.num_classes)
    plan = make_plan(settings, spec, facts, actors=1)
    one, two = (run(tmp_path / str(count), number_of_actors=count, **rules) for count in (1, 2))
    run(tmp_path / "half", **{**rules, "federated_learning_rounds": 1})
    gone_on = fedchunk.resume(tmp_path / "half", local=True, progress=False, federated_learning_rounds=2)

    assert spec.num_parameters == SIZE
    assert plan.uplink.low <= sum(one.rounds["uplink_bytes"].to_pylist()) <= plan.uplink.high
    assert plan.downlink.low <= sum(one.rounds["downlink_bytes"].to_pylist()) <= plan.downlink.high
    assert one.summary["weights_sha256"] == two.summary["weights_sha256"] == gone_on.summary["weights_sha256"]
    assert one.ledger.to_pylist() == two.ledger.to_pylist() == gone_on.ledger.to_pylist()


def test_a_is_drawn_from_the_seed_and_nothing_else(peft: Any) -> None:
    def drawn(**more: Any) -> dict[str, np.ndarray]:
        module = built(**LORA, **more)
        return {name: value.numpy() for name, value in module.state_dict().items() if "lora_A" in name}

    torch.manual_seed(1)
    one, before = drawn(), torch.random.get_rng_state()
    torch.manual_seed(2)
    again, deeper, other = drawn(), drawn(model_options={"width": WIDTH, "heads": 2, "depth": 2}), drawn(random_seed=9)

    assert torch.equal(before, torch.manual_seed(1).get_state())
    for name, values in one.items():
        np.testing.assert_array_equal(again[name], values)
        np.testing.assert_array_equal(deeper[name], values)  # the base's own draws do not count
        assert not np.array_equal(other[name], values)


def test_what_is_exported_loads_in_peft_and_in_the_plain_model(
    base: fedchunk.Run, adapted: fedchunk.Run, peft: Any, tmp_path: Any
) -> None:
    known = answers(adapted.load_into(built(**LORA)))
    fedchunk.export(adapted.path, tmp_path / "adapter")
    loaded = peft.PeftModel.from_pretrained(base.load_into(built()), str(tmp_path / "adapter"))
    np.testing.assert_array_equal(answers(loaded), known)

    fedchunk.export(adapted.path, tmp_path / "merged", merged=True)
    merged = load_file(tmp_path / "merged" / "weights.safetensors")
    assert merged.keys() == base.weights.keys()
    assert not np.array_equal(merged["blocks.0.down.weight"], base.weights["blocks.0.down.weight"])
    plain = run(tmp_path / "plain", **STILL, initial_model=str(tmp_path / "merged" / "weights.safetensors"))
    np.testing.assert_allclose(answers(plain.load_into(built())), known, atol=1e-6)
    assert not np.allclose(answers(base.load_into(built())), known, atol=1e-5)


def test_the_command_exports_what_there_is(base: fedchunk.Run, adapted: fedchunk.Run, tmp_path: Any) -> None:
    done = CliRunner().invoke(app, ["export", str(adapted.path), str(tmp_path / "adapter")])
    assert (done.exit_code, done.stdout.count("wrote")) == (0, 2), done.output
    assert {path.name for path in (tmp_path / "adapter").iterdir()} == {
        "adapter_config.json", "adapter_model.safetensors",
    }  # fmt: skip
    with pytest.raises(ConfigError, match="give a new or empty folder"):
        fedchunk.export(adapted.path, tmp_path / "adapter")
    with pytest.raises(ConfigError, match="trained the model itself, no adapter; --merged exports the whole model"):
        fedchunk.export(base.path, tmp_path / "none")


def test_a_model_of_transformers_gets_adapters_and_gives_them_back(folder: Any, peft: Any, tmp_path: Any) -> None:
    import transformers

    rules = {**of_folder(folder), "lora_rank": RANK}
    found = run(tmp_path / "run", **rules)
    settings = fedchunk.load_settings({**BASE, **rules})
    facts = data_facts(settings)
    size = model_spec(settings, facts.input_shape, facts.num_classes).num_parameters
    assert set(sent(found)["values"]) == {4 * size}
    assert sent(found).keys() == {"header", "values"}
    two = run(tmp_path / "two", number_of_actors=2, **rules)
    assert two.summary["weights_sha256"] == found.summary["weights_sha256"]

    known = answers(found.load_into(built(**rules)))
    fedchunk.export(found.path, tmp_path / "adapter")
    plain = transformers.AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager")
    before = answers(plain)
    loaded = peft.PeftModel.from_pretrained(plain, str(tmp_path / "adapter"))
    np.testing.assert_array_equal(answers(loaded), known)
    itself = peft.AutoPeftModelForCausalLM.from_pretrained(str(tmp_path / "adapter"), attn_implementation="eager")
    np.testing.assert_array_equal(answers(itself), known)

    fedchunk.export(found.path, tmp_path / "merged", merged=True)
    merged = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "merged", attn_implementation="eager")
    np.testing.assert_allclose(answers(merged), known, atol=1e-5)
    assert not np.array_equal(before, known)


def test_a_model_of_transformers_is_trained_whole_under_its_own_names(folder: Any, tmp_path: Any) -> None:
    import transformers

    still = run(tmp_path / "still", **of_folder(folder), **STILL)
    plain = transformers.AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager")
    for name, parameter in plain.named_parameters():
        np.testing.assert_allclose(still.weights[name], parameter.detach().numpy(), rtol=1e-6, atol=1e-20, err_msg=name)
    moved = run(tmp_path / "moved", **of_folder(folder), federated_learning_rounds=1)
    known = answers(moved.load_into(built(**of_folder(folder))))
    np.testing.assert_array_equal(answers(moved.load_into(plain)), known)


def test_a_part_of_the_adapters_may_stay_at_home(peft: Any, tmp_path: Any) -> None:
    """A is shared and B is each client's own."""
    rules = {**LORA, "local_parameters": ["*lora_B*"], "evaluate_clients": True}
    found = run(tmp_path / "run", **rules)
    assert set(sent(found)["values"]) == {4 * RANK * (WIDTH + 4 * WIDTH)}
    with pytest.raises(ConfigError, match="stayed with its clients"):
        fedchunk.export(found.path, tmp_path / "adapter")


def test_adapters_go_beside_layers_of_any_model(peft: Any, tmp_path: Any) -> None:
    rules = {
        "task": "classification", "model_type": "mlp", "model_options": {"width": WIDTH, "depth": 1}, "lora_rank": 1,
        "lora_targets": ["1"], "synthetic_size": 6,
    }  # fmt: skip
    found = run(tmp_path / "run", **rules)
    assert set(sent(found)["values"]) == {4 * (36 + WIDTH)}
    assert all("one by one" in words for words in found.clients["training"].to_pylist())


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"lora_targets": ["qvk"]}, r"got 'qvk', which is the end of no layer's name; name some of .*qkv, .*down"),
        ({"lora_targets": []}, r"specify `target_modules`.*; name some of embedding"),
        ({"lora_targets": ["norm1"]}, r"not supported.*name some of"),
        ({"lora_targets": ["head"]}, "got 'head', whose weights another layer has, too: leave it out, or untie them"),
    ],
)
def test_targets_that_cannot_be_are_named(peft: Any, more: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        built(**{**LORA, **more})
    assert caught.value.faults[0].key == "lora_targets"
    settings = fedchunk.load_settings({**BASE, **LORA, **more})
    with pytest.raises(ConfigError, match=words):  # a plan says so, too
        model_spec(settings, (6,), VOCABULARY)


def test_folders_that_do_not_do_are_named(folder: Any, tmp_path: Any) -> None:
    settings = fedchunk.load_settings({**BASE, **of_folder(folder)})
    with pytest.raises(ConfigError, match="the model knows 20 tokens, but the data have 21"):
        build_model(settings, (6,), 21)
    with pytest.raises(ConfigError, match="the model takes 96 tokens, but samples have 97"):
        build_model(settings, (97,), 20)
    with pytest.raises(ConfigError, match=r"there is no config\.json; give a folder that save_pretrained wrote"):
        built(**of_folder(tmp_path))
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    with pytest.raises(ConfigError, match="holds no causal language model that can be loaded"):
        built(**of_folder(tmp_path))
    from safetensors.numpy import save_file

    weights = load_file(folder / "model.safetensors")
    gone = next(name for name in weights if "norm" in name or "ln" in name)
    del weights[gone]
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ConfigError, match=f"it lacks {re.escape(gone)}"):
        built(**of_folder(tmp_path))


def test_tokens_are_whole_numbers(folder: Any) -> None:
    model = flat_model(fedchunk.load_settings({**BASE, **of_folder(folder)}), (6,), VOCABULARY, "cpu")
    with pytest.raises(TypeError, match="needs samples of tokens"):
        model.logits(torch.zeros(2, 6))


@pytest.mark.parametrize(
    ("library", "more", "key"),
    [("peft", LORA, "lora_rank"), ("transformers", of_folder("nowhere"), "model_type")],
)
def test_an_extra_that_is_missing_is_named(
    monkeypatch: pytest.MonkeyPatch, library: str, more: dict[str, Any], key: str
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ConfigError, match=r"pip install 'fedchunk\[huggingface\]'") as caught:
        built(**more)
    assert caught.value.faults[0].key == key
