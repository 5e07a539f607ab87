"""A run may begin with the weights of a file: downloaded and billed, or known to all and not."""

import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import fedchunk
from fedchunk.orchestrator.core.errors import ConfigError
from fedchunk.orchestrator.recording.checkpoints import newest_checkpoint
from fedchunk.orchestrator.settings.loading import parse

BASE = {
    "dataset_type": "synthetic", "synthetic_samples": 120, "synthetic_test_samples": 40, "number_of_clients": 4,
    "federated_learning_rounds": 2, "device": "cpu", "local_steps": 2, "mlflow_enabled": False, "learning_rate": 0.1,
}  # fmt: skip
STILL = {"learning_rate": 1e-30}
"""Trains without moving: the model stays what the run began with."""
PEERS = {
    "federated_learning_schema": "DecentralizedFederatedLearning",
    "federated_learning_topology": "ring",
}


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    folder = tmp_path_factory.mktemp("first") / "run"
    return fedchunk.run(BASE, output=folder, local=True, progress=False)


def run(folder, **settings):
    return fedchunk.run({**BASE, **settings}, output=folder, local=True, progress=False)


@pytest.mark.parametrize("more", [{}, {"initial_model_known": True}, PEERS, {"model_type": "mlp"}])
def test_a_run_begins_with_the_weights_of_another(first, tmp_path, more):
    warm = run(tmp_path / "warm", initial_model=str(first.path / "weights.safetensors"), **STILL, **more)

    for name, values in first.weights.items():
        np.testing.assert_allclose(warm.weights[name], values, rtol=1e-6)
    assert json.loads((warm.path / "config.json").read_text())["initial_model_sha256"]


def test_buffers_come_too(tmp_path):
    images = {"model_type": "resnet18", "synthetic_size": 32, "federated_learning_rounds": 1, "local_steps": 1}
    before = run(tmp_path / "before", **images)
    file = before.path / "weights.safetensors"
    moved = {name: np.asarray(values + 1) for name, values in load_file(file).items()}
    save_file(moved, tmp_path / "moved.safetensors")
    after = run(tmp_path / "after", **images, **STILL, initial_model=str(tmp_path / "moved.safetensors"))

    assert after.weights["layer1.0.bn1.weight"] == pytest.approx(moved["layer1.0.bn1.weight"])
    assert after.weights["bn1.num_batches_tracked"] == moved["bn1.num_batches_tracked"] + 1


def kept_at_home(run):
    """The heads of all clients after the last round, as rows."""
    checkpoint = newest_checkpoint(run.path / "checkpoints")
    return np.concatenate([states.homes.weights_P for one in checkpoint.objects for states in one.load()])


def test_what_stays_at_home_comes_from_a_file_only_where_clients_have_it(first, tmp_path):
    """The last layer of 10 answers to 200 values; of a run with a home, the weights lack it."""
    rules = {"local_parameters": ["5.*"], "checkpoint_interval": 1, **STILL}
    file = str(first.path / "weights.safetensors")
    theirs = np.concatenate([first.weights["5.weight"].ravel(), first.weights["5.bias"]])
    fresh = run(tmp_path / "fresh", **rules)
    heads_NL = kept_at_home(fresh)
    sent = run(tmp_path / "sent", **rules, initial_model=file)
    had = run(tmp_path / "had", **rules, initial_model=file, initial_model_known=True)

    assert heads_NL.shape == (4, 2010)
    np.testing.assert_allclose(kept_at_home(sent), heads_NL, rtol=1e-6)
    np.testing.assert_allclose(kept_at_home(had), np.stack([theirs] * 4), rtol=1e-6)
    assert sorted(sent.weights) == ["1.bias", "1.weight", "3.bias", "3.weight"]
    for name, values in sent.weights.items():
        np.testing.assert_allclose(values, first.weights[name], rtol=1e-6)
    again = run(tmp_path / "again", **rules, initial_model=str(sent.path / "weights.safetensors"))
    np.testing.assert_allclose(kept_at_home(again), heads_NL, rtol=1e-6)
    np.testing.assert_allclose(again.weights["3.bias"], first.weights["3.bias"], rtol=1e-6)


def test_shared_weights_are_loaded_beside_what_a_module_has_of_its_own(tmp_path):
    from torch import nn

    shared = run(tmp_path / "shared", local_parameters=["5.*"])
    module = nn.Sequential(
        nn.Flatten(), nn.Linear(64, 200), nn.ReLU(), nn.Linear(200, 200), nn.ReLU(), nn.Linear(200, 10)
    )
    head = module[5].weight.detach().clone()
    shared.load_into(module)

    assert np.array_equal(module[3].weight.detach().numpy(), shared.weights["3.weight"])
    assert np.array_equal(module[5].weight.detach().numpy(), head.numpy())


def downloads(run):
    rows = run.ledger.to_pylist()
    return sum(row["bytes"] for row in rows if row["round"] == 1 and row["sender"] == -1 and row["kind"] == "values")


def test_whoever_has_the_file_does_not_download_it(first, tmp_path):
    file = str(first.path / "weights.safetensors")
    sent = run(tmp_path / "sent", initial_model=file)
    known = run(tmp_path / "known", initial_model=file, initial_model_known=True)

    assert downloads(sent) == downloads(first) > 0
    assert downloads(known) == 0
    assert known.summary["weights_sha256"] == sent.summary["weights_sha256"]
    plan = {
        values: parse("", "s", (), {**BASE, "initial_model": file, "initial_model_known": values}).settings
        for values in (False, True)
    }
    assert not plan[False].federation.clients_have_first_model
    assert plan[True].federation.clients_have_first_model


def test_a_file_of_another_model_or_none_is_said(first, tmp_path):
    file = str(first.path / "weights.safetensors")
    with pytest.raises(ConfigError, match=r"does not fit logistic: .*is not the model"):
        run(tmp_path / "other", initial_model=file, model_type="logistic")
    with pytest.raises(ConfigError, match=r"has shape \(200, 64\), the model's has \(50, 64\)"):
        run(tmp_path / "shapes", initial_model=file, model_options={"width": 50, "depth": 2})
    with pytest.raises(ConfigError, match="cannot be read"):
        run(tmp_path / "none", initial_model=str(tmp_path / "nowhere.safetensors"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("initial_model: sede", "allowed: broadcast, seed, or the path of a .safetensors file"),
        ("initial_model: w.bin", "allowed: broadcast, seed, or the path of a .safetensors file"),
        ("initial_model_known: true", "it is for the path of a file"),
        ("initial_model: w.safetensors\npretrained_models: true\nmodel_type: resnet18", "begins with one of them"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_validate(text, words):
    with pytest.raises(ConfigError, match=words):
        parse(text, "f.yaml")


def test_words_may_be_in_capitals():
    assert parse("initial_model: SEED", "f.yaml").settings.federation.initial_model == "seed"


def test_a_run_that_goes_on_needs_the_file_that_it_began_with(first, tmp_path):
    file = tmp_path / "w.safetensors"
    shutil.copy(first.path / "weights.safetensors", file)
    run(tmp_path / "run", initial_model=str(file))
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)

    with pytest.raises(ConfigError, match="is not the file that the run began with"):
        fedchunk.resume(tmp_path / "run", local=True, progress=False, federated_learning_rounds=3)
