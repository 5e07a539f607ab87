"""What it costs: many small runs, and checkpoints."""

from __future__ import annotations

import shutil
import time
from typing import Any

from reliability_bench import BASE, Bench, Row, start

import fedchunk


def sweep_of_small_runs(bench: Bench) -> Row:
    """30 small runs as a sweep, against the sum of their rounds' times."""
    folder = bench.new("sweep")
    file = bench.settings({**BASE, "federated_learning_rounds": 40, "mlflow_enabled": True})
    seeds = bench.times(6, 2)
    started = time.monotonic()
    running = start(
        "sweep", file, "sensitivity_percentage=5,10,20,40,80", f"random_seed=1..{seeds}", "--output", folder,
        cwd=bench.folder,
    )  # fmt: skip
    running.communicate()
    took = time.monotonic() - started
    rounds = sum(sum(fedchunk.load_run(trial).rounds["wall_s"].to_pylist()) for trial in (folder / "trials").iterdir())
    count = len(list((folder / "trials").iterdir()))
    return Row(
        f"{count} small runs as a sweep",
        f"{took:.1f} s, {took / count:.2f} s a run, {took / rounds:.2f} times the sum of their rounds' times",
    )


def cost_of_checkpoints(bench: Bench) -> Row:
    """What checkpoints take of the time, with the default interval: runs with and without, in turns."""
    outcomes = []
    mlp = {"number_of_clients": 1000, "client_sampling_rate": 0.1, "federated_learning_rounds": 600}
    cnn = {"number_of_clients": 50, "client_sampling_rate": 0.2, "federated_learning_rounds": 40, "model_type": "cnn"}
    iid = {"data_distribution_kind": "iid"}
    cases: dict[str, dict[str, Any]] = {"MLP, 1,000 clients": mlp | iid, "CNN, 50 clients": cnn | iid}
    for name, case in cases.items():
        if bench.quick:
            case = {**case, "federated_learning_rounds": 8}
        walls: dict[int | None, list[float]] = {0: [], None: []}
        for _ in range(bench.times(3, 1)):
            for interval in (0, None):
                file = bench.settings({**BASE, **case, "checkpoint_interval": interval})
                folder = bench.new("cost")
                start("run", file, "--output", folder, cwd=bench.folder).communicate()
                rounds = fedchunk.load_run(folder).rounds["wall_s"].to_pylist()
                walls[interval].append(sum(rounds[3:]))
                shutil.rmtree(folder)
        with_them, without = (min(walls[interval]) for interval in (None, 0))
        cost, noise = 100 * (with_them / without - 1), 100 * (max(walls[0]) / without - 1)
        outcomes.append(f"{name}: {cost:+.1f} % in {with_them:.0f} s (runs without differ by {noise:.1f} %)")
    return Row("what checkpoints cost, default interval, best of 3 runs in turns", "; ".join(outcomes))
