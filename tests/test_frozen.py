"""Parameters that training leaves as they are: a plain loop's bits, no byte, no state; they are in the weights."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from torch import Tensor, nn

import fedchunk
from fedchunk.actors.client.experiment_data import prepare
from fedchunk.orchestrator.commands.plan import make_plan
from fedchunk.orchestrator.core.errors import ConfigError, FedchunkError
from fedchunk.orchestrator.core.seeds import generator
from fedchunk.orchestrator.learning.build import build_model, model_spec
from fedchunk.orchestrator.learning.data.facts import data_facts
from fedchunk.orchestrator.learning.preprocess import to_device
from fedchunk.orchestrator.recording.checkpoints import newest_checkpoint

WIDTH, CLASSES, PIXELS = 12, 4, 36
FROZEN = PIXELS * WIDTH + WIDTH
TRAINED = 2 * WIDTH + WIDTH * CLASSES + CLASSES
BUFFERS = 4 * 2 * WIDTH + 8
"""Bytes of BatchNorm's statistics and of its counter."""


def random_features(num_classes: int) -> nn.Module:
    """A first layer that stays as it was drawn, BatchNorm, and a last layer."""
    net = nn.Sequential(
        nn.Flatten(), nn.Linear(PIXELS, WIDTH), nn.BatchNorm1d(WIDTH), nn.ReLU(), nn.Linear(WIDTH, num_classes)
    )
    net[1].requires_grad_(False)
    return net


class Restless(nn.Module):
    """Writes into a parameter that is not trained, as running means are written by hand."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(PIXELS), requires_grad=False)
        self.last = nn.Linear(PIXELS, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(1)
        if self.training:
            with torch.no_grad():
                self.mean.lerp_(flat.mean(dim=0), 0.1)
        answer: Tensor = self.last(flat - self.mean)
        return answer


BASE: dict[str, Any] = {
    "dataset_type": "synthetic", "synthetic_samples": 120, "synthetic_test_samples": 40, "synthetic_classes": CLASSES,
    "synthetic_size": 6, "number_of_clients": 4, "federated_learning_rounds": 3, "train_batch_size": 10,
    "device": "cpu", "mlflow_enabled": False, "learning_rate": 0.1, "clients_per_group": 2,
    "model_type": random_features, "checkpoint_interval": 1,
}  # fmt: skip
CHUNKS = {
    "chunking": True, "chunking_parts": 8, "sensitivity_percentage": 50.0, "chunk_reconstruction": "error_feedback",
}  # fmt: skip
PEERS = {"federated_learning_schema": "DecentralizedFederatedLearning", "federated_learning_topology": "ring"}


@pytest.fixture(autouse=True)
def without_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """The report takes longer than these runs."""
    monkeypatch.setattr("fedchunk.orchestrator.run._write_report", lambda folder: folder / "report.html")


def run(folder: Any, *, local: bool = True, **more: Any) -> fedchunk.Run:
    return fedchunk.run({**BASE, **more}, output=folder, local=local, progress=False)


def plain_average(settings: fedchunk.Settings) -> nn.Module:
    """FedAvg of what is trained and of buffers, as a textbook has it."""
    data, training, federation = prepare(settings), settings.training, settings.federation
    dataset = data.dataset
    model = build_model(settings, dataset.input_shape, dataset.num_classes)
    for round_index in range(1, federation.federated_learning_rounds + 1):
        states = []
        for client in range(federation.number_of_clients):
            module = build_model(settings, dataset.input_shape, dataset.num_classes)
            module.load_state_dict(model.state_dict())
            module.train()
            indices = data.partition.samples_of(client)
            x = to_device(dataset.train_x[indices], dataset.scale, None, torch.device("cpu"))
            y = torch.from_numpy(dataset.train_y[indices])
            trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
            optimizer = torch.optim.SGD(trained, lr=training.learning_rate)
            rng = generator(federation.random_seed, "batches", round_index, client)
            for batch in torch.from_numpy(rng.permutation(len(y))).split(training.train_batch_size):
                optimizer.zero_grad()
                nn.functional.cross_entropy(module(x[batch]), y[batch]).backward()
                optimizer.step()
            states.append(module.state_dict())
        model.load_state_dict(
            {
                name: (sum(state[name].double() for state in states) / len(states)).float()
                if states[0][name].is_floating_point()
                else states[0][name]
                for name in states[0]
            }
        )
    return model


def test_full_exchange_gives_the_bits_of_a_plain_loop_and_bills_what_is_trained(tmp_path: Any) -> None:
    settings = fedchunk.load_settings({**BASE, "chunking": False})
    found, known = run(tmp_path / "run"), plain_average(settings)

    trained = [parameter.detach().numpy().ravel() for parameter in known.parameters() if parameter.requires_grad]
    digest = hashlib.sha256(np.concatenate(trained).astype("<f4").tobytes()).hexdigest()
    assert found.summary["weights_sha256"] == digest
    for name, values in known.state_dict().items():  # also those that are frozen
        np.testing.assert_array_equal(found.weights[name], values.numpy(), err_msg=name)
    kinds: dict[str, set[int]] = {}
    for row in found.ledger.to_pylist():
        kinds.setdefault(row["kind"], set()).add(row["bytes"])
    assert kinds["values"] == {4 * TRAINED}
    assert kinds["buffers"] == {BUFFERS}
    assert kinds.keys() <= {"header", "values", "buffers"}


@pytest.mark.parametrize(
    "more", [{}, CHUNKS, {**PEERS, "chunking": True, "chunking_parts": 8}], ids=["all", "chunks", "peers"]
)
def test_a_plan_knows_the_bytes_and_any_actors_give_the_same_bits(tmp_path: Any, more: dict[str, Any]) -> None:
    settings = fedchunk.load_settings({**BASE, **more})
    facts = data_facts(settings)
    spec = model_spec(settings, facts.input_shape, facts.num_classes)
    plan = make_plan(settings, spec, facts, actors=1)
    one, two = (run(tmp_path / str(count), number_of_actors=count, **more) for count in (1, 2))

    assert (spec.num_parameters, spec.num_frozen, spec.num_float_buffers) == (TRAINED, FROZEN, 2 * WIDTH)
    assert any(f"{FROZEN:,} values more are frozen" in note for note in plan.notes)
    sent = sum(one.rounds["uplink_bytes"].to_pylist())
    assert plan.uplink.low <= sent <= plan.uplink.high < (4 * FROZEN) * 12
    assert one.summary["weights_sha256"] == two.summary["weights_sha256"]
    assert one.ledger.to_pylist() == two.ledger.to_pylist()
    np.testing.assert_array_equal(one.weights["1.weight"], two.weights["1.weight"])


def test_neither_clients_nor_checkpoints_hold_them(tmp_path: Any) -> None:
    found = run(tmp_path / "run", **CHUNKS, transport="tcp")  # where messages are opened each client has a model
    checkpoint = newest_checkpoint(found.path / "checkpoints")
    assert checkpoint is not None
    states = [group for one in checkpoint.objects for group in one.load()]

    assert {group.weights_MP.shape[-1] for group in states} == {TRAINED}
    assert {group.buffers_MB.shape[-1] for group in states} == {2 * WIDTH}
    assert {group.withheld_GP.shape[-1] for group in states} == {TRAINED}


def test_a_run_that_goes_on_is_the_run_that_never_stopped(tmp_path: Any) -> None:
    whole = run(tmp_path / "whole", **CHUNKS)
    run(tmp_path / "half", **CHUNKS, federated_learning_rounds=1)
    gone_on = fedchunk.resume(tmp_path / "half", local=True, progress=False, federated_learning_rounds=3)

    assert gone_on.summary["weights_sha256"] == whole.summary["weights_sha256"]
    assert gone_on.weights.keys() == whole.weights.keys()
    np.testing.assert_array_equal(gone_on.weights["1.weight"], whole.weights["1.weight"])


def test_a_file_gives_them_too_all_or_none(tmp_path: Any) -> None:
    """The values of another seed: with the file's first layer a run is another one."""
    other = run(tmp_path / "other", random_seed=7, federated_learning_rounds=1)
    file = tmp_path / "first.safetensors"
    weights = load_file(other.path / "weights.safetensors")
    save_file(weights, file)
    warm = run(tmp_path / "warm", initial_model=str(file), learning_rate=1e-30)
    np.testing.assert_array_equal(warm.weights["1.weight"], weights["1.weight"])
    np.testing.assert_allclose(warm.weights["4.weight"], weights["4.weight"], rtol=1e-6)

    save_file({name: values for name, values in weights.items() if not name.startswith("1.")}, file)
    trained_alone = run(tmp_path / "alone", initial_model=str(file), learning_rate=1e-30)
    fresh = run(tmp_path / "fresh", federated_learning_rounds=1)
    np.testing.assert_array_equal(trained_alone.weights["1.weight"], fresh.weights["1.weight"])
    np.testing.assert_allclose(trained_alone.weights["4.weight"], weights["4.weight"], rtol=1e-6)

    save_file({name: values for name, values in weights.items() if name != "1.bias"}, file)
    with pytest.raises(ConfigError, match=r"1\.bias is missing, of 1 that are frozen"):
        run(tmp_path / "part", initial_model=str(file))
    save_file({**weights, "1.bias": np.zeros(3, np.float32)}, file)
    with pytest.raises(ConfigError, match=r"1\.bias has shape \(3,\), the model's has \(12,\)"):
        run(tmp_path / "shape", initial_model=str(file))


@pytest.mark.ray
def test_on_ray_they_come_out_the_same(ray_here: Any, tmp_path: Any) -> None:
    here = run(tmp_path / "here", **CHUNKS)
    there = run(tmp_path / "there", local=False, number_of_actors=2, **CHUNKS)

    assert there.summary["weights_sha256"] == here.summary["weights_sha256"]
    assert there.weights.keys() == here.weights.keys()
    np.testing.assert_array_equal(there.weights["1.weight"], here.weights["1.weight"])


def test_a_model_that_writes_into_one_is_told_to_use_a_buffer(tmp_path: Any) -> None:
    with pytest.raises(FedchunkError, match="wrote into 'mean', which requires no gradient; make it a buffer"):
        run(tmp_path / "run", model_type=Restless)
