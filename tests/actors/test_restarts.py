"""What no repeated call brings back: the run goes on by itself from its last checkpoint, with the same bits."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import ray

import fedchunk
from fedchunk.actors.backends.ray_backend import RayFederation
from fedchunk.orchestrator.core.errors import ActorsUnavailable, CoordinatorLost, StatesLost

pytestmark = pytest.mark.ray

SETTINGS = {
    "dataset_type": "synthetic", "synthetic_samples": 240, "synthetic_test_samples": 60, "synthetic_classes": 4,
    "synthetic_size": 28, "number_of_clients": 6, "federated_learning_rounds": 8, "train_batch_size": 16,
    "learning_rate": 0.1, "device": "cpu", "mlflow_enabled": False, "chunking": True, "chunking_parts": 20,
    "sensitivity_percentage": 30.0, "checkpoint_interval": 2, "number_of_actors": 2, "local_steps": 2,
    "chunk_reconstruction": "error_feedback", "clients_per_call": 1, "clients_per_group": 1,
}  # fmt: skip
TIMES = {"train_s", "aggregate_s", "evaluate_s", "wall_s", "actors_busy", "attempts"}


def rows(run, table):
    found = run.tables[table]
    return found.drop_columns([name for name in found.column_names if name in TIMES]).to_pylist()


def assert_same(run, whole):
    assert (run.status, run.num_rounds) == ("finished", whole.num_rounds)
    assert run.summary["weights_sha256"] == whole.summary["weights_sha256"]
    assert all(rows(run, name) == rows(whole, name) for name in ("rounds", "clients", "chunks", "ledger"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "run"
    return fedchunk.run(SETTINGS, output=folder, local=True, progress=False)


def after_round(monkeypatch, at, do):
    """Has something done once, when a round has come back."""
    original, left = RayFederation.run_round, [at]

    def run_round(self, round_index, observer):
        result = original(self, round_index, observer)
        if round_index in left:
            left.remove(round_index)
            do(self)
        return result

    monkeypatch.setattr(RayFederation, "run_round", run_round)


def test_a_coordinator_that_dies_is_started_again(whole, tmp_path, monkeypatch, capfd):
    after_round(monkeypatch, 5, lambda federation: ray.kill(federation._coordinator, no_restart=True))

    run = fedchunk.run(SETTINGS, output=tmp_path / "run")

    assert_same(run, whole)
    assert "the coordinator is gone" in capfd.readouterr().err


def test_one_that_dies_while_it_is_started_again_is_started_once_more(whole, tmp_path, monkeypatch):
    """Nodes that go, go together."""
    original, starts = RayFederation._start, []

    def start(self):
        starts.append(self)
        if len(starts) == 2:
            raise CoordinatorLost("the coordinator is gone: its node, too")
        original(self)

    monkeypatch.setattr(RayFederation, "_start", start)
    after_round(monkeypatch, 5, lambda federation: ray.kill(federation._coordinator, no_restart=True))

    assert_same(fedchunk.run(SETTINGS, output=tmp_path / "run", progress=False), whole)
    assert len(starts) == 3


def test_one_that_dies_without_restarts_left_ends_the_run_with_what_it_had(tmp_path, monkeypatch):
    after_round(monkeypatch, 5, lambda federation: ray.kill(federation._coordinator, no_restart=True))

    with pytest.raises(fedchunk.FedchunkError, match="the coordinator is gone"):
        fedchunk.run(SETTINGS, output=tmp_path / "run", progress=False, max_run_restarts=0)

    run = fedchunk.load_run(tmp_path / "run")
    assert (run.status, run.num_rounds) == ("failed", 5)
    assert run.weights, "those of the last checkpoint"
    assert run.summary["weights_round"] in (2, 4), "the second may still have been on its way"


def test_a_run_that_cannot_be_started_again_has_its_rounds_and_the_model_of_a_checkpoint(tmp_path, monkeypatch):
    original = RayFederation._start

    def start_once(self):
        if (tmp_path / "run" / "checkpoints").exists():
            raise ActorsUnavailable("no room any more")
        original(self)

    monkeypatch.setattr(RayFederation, "_start", start_once)
    after_round(monkeypatch, 5, lambda federation: ray.kill(federation._coordinator, no_restart=True))

    with pytest.raises(fedchunk.FedchunkError, match="no room any more"):
        fedchunk.run(SETTINGS, output=tmp_path / "run", progress=False)

    run = fedchunk.load_run(tmp_path / "run")
    assert (run.status, run.num_rounds, run.summary["rounds_completed"]) == ("failed", 5, 5)
    assert run.summary["error"] == "no room any more"
    assert run.weights
    assert run.summary["weights_round"] in (2, 4)


@pytest.mark.parametrize("interval", [2, 0])
def test_states_that_are_lost_come_back_and_rounds_are_played_again(interval, whole, tmp_path, monkeypatch):
    """Without a checkpoint the run begins again, which gives the same bits, too."""
    original, left = RayFederation.run_round, [5]

    def run_round(self, round_index, observer):
        if round_index in left:
            left.remove(round_index)
            raise StatesLost([1, 2])
        return original(self, round_index, observer)

    monkeypatch.setattr(RayFederation, "run_round", run_round)

    assert_same(fedchunk.run({**SETTINGS, "checkpoint_interval": interval}, output=tmp_path / "run"), whole)


SLOW = {**SETTINGS, "local_steps": 40, "federated_learning_rounds": 14}
"""Rounds of a second: two nodes are gone before the last one."""


@pytest.mark.slow
def test_a_node_with_clients_states_dies_and_the_bits_stay(tmp_path, no_ray):
    from ray.cluster_utils import Cluster

    whole = fedchunk.run(SLOW, output=tmp_path / "whole", local=True, progress=False)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": 100_000_000})
    nodes = [cluster.add_node(num_cpus=1, object_store_memory=100_000_000) for _ in range(3)]
    cluster.wait_for_nodes()
    try:
        (tmp_path / "s.yaml").write_text(json.dumps(SLOW))
        command = [Path(sys.executable).with_name("fedchunk"), "run", "s.yaml", "--address", cluster.address]
        command += ["--output", "run", "placement_group_strategy=STRICT_SPREAD"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        with subprocess.Popen(
            command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=environment
        ) as running:
            said = []
            for line in running.stderr:
                said.append(line)
                if line.startswith("round 5/"):
                    cluster.remove_node(nodes[0], allow_graceful=False)
                    cluster.remove_node(nodes[1], allow_graceful=False)
                    cluster.add_node(num_cpus=1, object_store_memory=100_000_000)
        assert running.returncode == 0, "".join(said)
    finally:
        cluster.shutdown()

    assert_same(fedchunk.load_run(tmp_path / "run"), whole)
    # Which of the nodes had the coordinator, only Ray knows: then that was lost, too.
    went_back = ("were lost with a node", "the coordinator is gone")
    assert any(words in line for line in said for words in went_back), "".join(said)
