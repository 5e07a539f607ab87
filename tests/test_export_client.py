"""A client's own model out of a finished run: in a plain module it measures what the run has measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from typer.testing import CliRunner

import fedchunk
from fedchunk.orchestrator.cli import app
from fedchunk.orchestrator.core.errors import ConfigError
from fedchunk.orchestrator.learning.build import build_model
from fedchunk.orchestrator.learning.data.load import load_dataset
from fedchunk.orchestrator.learning.preprocess import to_device

PEERS = {"federated_learning_schema": "DecentralizedFederatedLearning", "federated_learning_topology": "ring"}
BASE: dict[str, Any] = {
    "dataset_type": "synthetic", "synthetic_samples": 120, "synthetic_test_samples": 40, "synthetic_size": 8,
    "number_of_clients": 4, "federated_learning_rounds": 2, "train_batch_size": 8, "learning_rate": 0.1,
    "device": "cpu", "mlflow_enabled": False, "evaluate_clients": True, "clients_per_group": 3, "model_type": "mlp",
    "model_options": {"width": 16, "depth": 2}, "local_parameters": ["5.*"], "chunking": False,
    "data_distribution_kind": "iid",
}  # fmt: skip
SHARED = {"1.weight", "1.bias", "3.weight", "3.bias"}


@pytest.fixture(autouse=True)
def without_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """The report takes longer than these runs."""
    monkeypatch.setattr("fedchunk.orchestrator.run._write_report", lambda folder: folder / "report.html")


def run(output: Path, **more: Any) -> fedchunk.Run:
    return fedchunk.run({**BASE, **more}, output=output, local=True, progress=False)


def accuracy(weights: dict[str, np.ndarray], **more: Any) -> float:
    settings = fedchunk.load_settings({**BASE, **more})
    data = load_dataset(settings)
    module = build_model(settings, data.input_shape, data.num_classes)
    module.load_state_dict({name: torch.from_numpy(values) for name, values in weights.items()})
    x = to_device(data.test_x, data.scale, None, torch.device("cpu"))
    with torch.no_grad():
        return float((module.eval()(x).argmax(1).numpy() == data.test_y).mean())


@pytest.mark.parametrize(
    "rules",
    [
        {},
        {"model_type": "resnet20", "model_options": {"blocks": 1}, "local_parameters": ["*norm*"]},
        {**PEERS, "chunking": True, "chunking_parts": 9, "sensitivity_percentage": 40.0},
        {**PEERS, "chunking": True, "chunking_parts": 9, "chunk_reconstruction": "relay", "chunk_encoding": "int4"},
        {**PEERS, "chunking": True, "chunking_parts": 9, "chunk_reconstruction": "relay_tree"},
    ],
    ids=["star", "star with buffers", "gossip", "relay", "relay tree"],
)
def test_what_is_exported_measures_what_the_run_has_measured(tmp_path: Path, rules: dict[str, Any]) -> None:
    found = run(tmp_path / "run", **rules)
    measured = {row["client"]: row["accuracy"] for row in found.clients.to_pylist() if row["round"] == 2}
    own = {}
    for client in range(4):
        (file,) = fedchunk.export(found.path, tmp_path / str(client), client=client)
        own[client] = load_file(file)
    assert {client: accuracy(own[client], **rules) for client in own} == pytest.approx(measured)
    at_home = own[0].keys() - found.weights.keys()
    assert at_home
    for name in at_home:
        if name.endswith("num_batches_tracked"):  # a counter, the same for all
            continue
        assert not np.array_equal(own[0][name], own[1][name]), name
    if found.config["federated_learning_schema"] != PEERS["federated_learning_schema"]:
        for name, values in found.weights.items():
            np.testing.assert_array_equal(own[0][name], values, err_msg=name)


def test_the_command_writes_a_clients_model(tmp_path: Path) -> None:
    found = run(tmp_path / "run")
    done = CliRunner().invoke(app, ["export", str(found.path), str(tmp_path / "own"), "--client", "2"])
    assert done.exit_code == 0, done.output
    assert load_file(tmp_path / "own" / "weights.safetensors").keys() == SHARED | {"5.weight", "5.bias"}
    again = fedchunk.export(found.path, tmp_path / "again", client=2, merged=True)
    for name, values in load_file(tmp_path / "own" / "weights.safetensors").items():
        np.testing.assert_array_equal(load_file(again[0])[name], values)


def test_adapters_whose_one_half_stayed_at_home(tmp_path: Path) -> None:
    pytest.importorskip("peft")
    rules = {"lora_rank": 2, "lora_targets": ["1", "3"], "local_parameters": ["*lora_B*"]}
    found = run(tmp_path / "run", **rules)
    one, two = (load_file(fedchunk.export(found.path, tmp_path / str(n), client=n)[1]) for n in (0, 1))
    same = {name for name, values in one.items() if np.array_equal(values, two[name])}
    assert same == {name for name in one if "lora_A" in name} != one.keys()


def test_what_cannot_be_exported_is_said(tmp_path: Path) -> None:
    plain = run(tmp_path / "plain", local_parameters=[], federated_learning_rounds=1)
    with pytest.raises(ConfigError, match=r"local_parameters.*so no client has a part of its own; leave --client out"):
        fedchunk.export(plain.path, tmp_path / "none", client=0)
    some = run(tmp_path / "some", federated_learning_rounds=1, client_sampling_rate=0.5)
    with pytest.raises(ConfigError, match="--client N exports that of one"):
        fedchunk.export(some.path, tmp_path / "none", merged=True)
    with pytest.raises(ConfigError, match="got 4; the run's clients are 0 to 3"):
        fedchunk.export(some.path, tmp_path / "none", client=4)
    took_part = set(some.clients["client"].to_pylist())
    away = min(set(range(4)) - took_part)
    with pytest.raises(ConfigError, match=f"got {away}, which never took part in a round"):
        fedchunk.export(some.path, tmp_path / "none", client=away)
    assert fedchunk.export(some.path, tmp_path / "there", client=min(took_part))
    bare = run(tmp_path / "bare", federated_learning_rounds=1, checkpoint_interval=0)
    with pytest.raises(ConfigError, match="there is none, and what stays with clients is kept in that of"):
        fedchunk.export(bare.path, tmp_path / "none", client=0)
    assert not (tmp_path / "none").exists()
