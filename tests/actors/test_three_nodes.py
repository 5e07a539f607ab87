"""A cluster of three nodes on this machine gives the bits of one process."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.ray, pytest.mark.slow]


@pytest.fixture
def three_nodes(no_ray):
    """The address of a cluster of a head and two workers. Nobody in this process joins it."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 100_000_000})
    for _ in range(2):
        cluster.add_node(num_cpus=1, object_store_memory=100_000_000)
    cluster.wait_for_nodes()
    yield cluster.address
    cluster.shutdown()


def fedchunk(*arguments, cwd):
    """Runs the command as a user does; what its JSON says."""
    command = [str(Path(sys.executable).with_name("fedchunk")), *map(str, arguments), "--json"]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_three_nodes_give_the_bits_of_one_process(three_nodes, project, tmp_path):
    smoke = (project / "configs" / "smoke.yaml", "mlflow_enabled=false", "chunk_reconstruction=own_weights")
    local = fedchunk("run", *smoke, "--local", "--output", "local", cwd=tmp_path)
    spread = ("number_of_actors=3", "placement_group_strategy=STRICT_SPREAD", "--address", three_nodes)
    cluster = fedchunk("run", *smoke, *spread, "--output", "cluster", cwd=tmp_path)
    assert cluster["rounds_completed"] == local["rounds_completed"] == 2
    assert cluster["weights_sha256"] == local["weights_sha256"]
    assert cluster["uplink_bytes"] == local["uplink_bytes"]


def test_a_project_of_ones_own_runs_with_the_bits_of_one_process_however_many_actors_and_nodes(three_nodes, tmp_path):
    """Beside folders that bear our names, and from a file that is not where the actors work."""
    fedchunk("new", "first", cwd=tmp_path)
    folder = tmp_path / "first"
    for name in ("actors", "analysis", "orchestrator"):
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text("raise RuntimeError('not ours')")
    settings = ("first/settings.yaml", "mlflow_enabled=false", "federated_learning_rounds=2")
    local = fedchunk("run", *settings, "--local", "--output", "local", cwd=tmp_path)
    spread = ("number_of_actors=3", "placement_group_strategy=STRICT_SPREAD", "--address", three_nodes)
    runs = [
        fedchunk("run", *settings, *spread, "--output", "three", cwd=tmp_path),
        fedchunk("run", "settings.yaml", *settings[1:], "number_of_actors=1", "--output", "one", cwd=folder),
        fedchunk("run", "settings.yaml", *settings[1:], "number_of_actors=2", "--output", "two", cwd=folder),
    ]
    assert {run["weights_sha256"] for run in runs} == {local["weights_sha256"]}
