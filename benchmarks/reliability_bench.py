"""What the cases of ``reliability.py`` share: settings, folders, processes."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

import fedchunk

FEDCHUNK = Path(sys.executable).with_name("fedchunk")
TIMES = {"train_s", "aggregate_s", "evaluate_s", "wall_s", "actors_busy", "attempts"}
BASE: dict[str, Any] = {
    "dataset_type": "digits", "number_of_clients": 10, "federated_learning_rounds": 30, "learning_rate": 0.1,
    "local_steps": 4, "device": "cpu", "mlflow_enabled": False, "chunking": True, "chunking_parts": 100,
    "sensitivity_percentage": 30.0, "data_distribution_kind": "dir", "dirichlet_beta": 1.0,
}  # fmt: skip
KINDS: dict[str, dict[str, Any]] = {
    "contributors": {"metrics": ["top5"]},
    "error feedback": {
        "chunk_reconstruction": "error_feedback", "downlink_sensitivity_percentage": 30, "client_sampling_rate": 0.5,
        "server_optimizer": "adam", "chunk_encoding": "int4", "chunk_score": "accumulated", "withheld_share": 0.5,
    },
    "consensus": {"chunk_agreement": "consensus", "chunk_reconstruction": "error_feedback", "agreement_interval": 3},
    "full exchange": {"chunking": False, "evaluate_clients": True},
    "peers": {
        "federated_learning_schema": "DecentralizedFederatedLearning", "federated_learning_topology": "ring",
        "chunk_reconstruction": "stale_copies",
    },
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    case: str
    outcome: str


class Bench:
    """A folder for runs, and how often each case is tried."""

    def __init__(self, folder: Path, *, quick: bool) -> None:
        self.folder, self.quick = folder, quick
        self.rng = random.Random(7)

    def times(self, often: int, quickly: int = 2) -> int:
        """How often."""
        return quickly if self.quick else often

    def new(self, name: str) -> Path:
        """A folder that is not there yet."""
        path = self.folder / f"{name}-{len(list(self.folder.iterdir()))}"
        assert not path.exists()
        return path

    def settings(self, values: dict[str, Any]) -> Path:
        """A settings file."""
        path = self.new("settings").with_suffix(".yaml")
        path.write_text(json.dumps(values))
        return path


def start(*arguments: object, cwd: Path, **more: Any) -> subprocess.Popen[str]:
    """The command, as a user starts it, in a process group of its own."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **more.pop("env", {})}
    return subprocess.Popen(
        [str(FEDCHUNK), *map(str, arguments)], cwd=cwd, env=environment, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, start_new_session=True, preexec_fn=_hear_signals, **more,
    )  # fmt: skip


def _hear_signals() -> None:
    """A shell that starts something in the background has it ignore SIGINT: a user's terminal does not."""
    for name in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(name, signal.SIG_DFL)


def client_actors(driver: int) -> list[psutil.Process]:
    """The processes of client actors below a driver's that are at work."""
    found = []
    for child in psutil.Process(driver).children(recursive=True):
        try:
            if any("_ClientShell.ask" in part for part in child.cmdline()):
                found.append(child)
        except psutil.Error:
            continue  # it has just ended
    return found


def wait_for_client_actors(running: subprocess.Popen[str]) -> list[psutil.Process]:
    """The same, as soon as one is; none if the run has ended."""
    found: list[psutil.Process] = []
    while not found and running.poll() is None:
        with contextlib.suppress(psutil.NoSuchProcess):
            found = client_actors(running.pid)
    return found


def results(folder: Path) -> dict[str, Any]:
    """All that a run recorded, times aside."""
    run = fedchunk.load_run(folder)
    tables = {
        name: table.drop_columns([c for c in table.column_names if c in TIMES]).to_pylist()
        for name, table in run.tables.items()
        if name != "profile"
    }
    return {"tables": tables, "weights": run.summary["weights_sha256"], "status": run.status}
