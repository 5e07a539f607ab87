"""Nodes of a cluster that die: one with clients' states, and the coordinator's."""

from __future__ import annotations

import time
from typing import Any

import psutil
from reliability_bench import BASE, Bench, Row, start

import fedchunk

SLOW: dict[str, Any] = {**BASE, "local_steps": 100, "federated_learning_rounds": 12, "checkpoint_interval": 2}
NODE: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 100_000_000}


def node_with_states_killed(bench: Bench) -> Row:
    """A node with a client actor, and not the coordinator, goes away for good; another one is free."""
    return Row("a node with clients' states killed", _killed(bench, "_ClientShell", "_CoordinatorShell"))


def coordinators_node_killed(bench: Bench) -> Row:
    """The coordinator's node goes away for good; the driver is on another one."""
    return Row("the coordinator's node killed", _killed(bench, "_CoordinatorShell", "_NoShell"))


def _killed(bench: Bench, having: str, lacking: str) -> str:
    from ray.cluster_utils import Cluster

    whole, folder = bench.new("whole"), bench.new("node")
    fedchunk.run(SLOW, output=whole, local=True, progress=False)
    # The driver is on the head, which has no room for a client; the coordinator goes where the driver is, if it can.
    cluster = Cluster(initialize_head=True, head_node_args={**NODE, "num_cpus": 0})
    nodes = [cluster.add_node(**NODE) for _ in range(3)]
    cluster.wait_for_nodes()
    killed_at, took, said = 0.0, 0.0, "nobody had it"
    try:
        running = start(
            "run", bench.settings(SLOW), "--address", cluster.address, "--output", folder, "number_of_actors=2",
            "placement_group_strategy=STRICT_SPREAD", cwd=bench.folder,
        )  # fmt: skip
        assert running.stderr is not None
        for line in running.stderr:
            if line.startswith("round ") and killed_at and not took:
                took = time.monotonic() - killed_at
            if line.startswith("round 5/"):
                found = [node for node in nodes if _has(node, having) and not _has(node, lacking)]
                if found:
                    cluster.remove_node(found[0], allow_graceful=False)
                    killed_at = time.monotonic()
        running.wait()
    finally:
        cluster.shutdown()  # type: ignore[no-untyped-call] # Ray's own, without types
    if killed_at:
        run, calm = fedchunk.load_run(folder), fedchunk.load_run(whole)
        same = run.summary.get("weights_sha256") == calm.summary["weights_sha256"]
        said = f"run {run.status}, {'same' if same else 'other'} bits, {took:.1f} s until the next round was over"
    return said


def _has(node: Any, shell: str) -> bool:
    """Whether an actor of this class lives on a node."""
    raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
    return any(shell in part for child in raylet.children(recursive=True) for part in child.cmdline())
