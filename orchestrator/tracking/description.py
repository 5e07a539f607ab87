"""What MLflow is told of a run besides its metrics: parameters, tags, a description for people, the data set."""

from __future__ import annotations

import getpass
import json
import platform
import socket
import statistics
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import MappingProxyType
from typing import Any

import psutil

from fedchunk.orchestrator.contract.ports import FederationInfo, RunSummary
from fedchunk.orchestrator.core.masking import mask_settings, mask_uri
from fedchunk.orchestrator.tracking.note import note

_MAX_PARAM = 6000
"""Characters of a parameter's value; MLflow takes no more."""

OUTPUT_TAG = "fedchunk.output_dir"
"""Where the run's folder is on the machine that ran it."""
PARENT_TAG = "mlflow.parentRunId"
"""MLflow's own: the run that a run is shown below."""
UID_TAG = "fedchunk.uid"
"""Our own name of the run, which it has before MLflow gives it one."""
PID_TAG, STARTED_TAG, HOST_TAG = "fedchunk.pid", "fedchunk.process_started", "host"
"""Which process records the run."""


@dataclass(frozen=True)
class RunDescription:
    """What a run is created with. Secrets are masked."""

    name: str
    params: Mapping[str, str]
    tags: Mapping[str, str]
    dataset_name: str
    dataset_digest: str
    dataset_source: str
    """JSON."""
    dataset_profile: str
    """JSON."""


def describe(
    flat_settings: Mapping[str, Any],
    info: FederationInfo,
    run_path: Path,
    components: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
) -> RunDescription:
    """The description of the run in ``run_path`` with these settings, these actors and users' own components."""
    flat = mask_settings(flat_settings)
    counts = info.samples_per_client
    facts = {
        "model_parameters": info.spec.num_parameters,
        "train_samples": info.data.train_samples,
        "test_samples": info.data.test_samples,
        "num_classes": info.data.num_classes,
        "actors": info.number_of_actors,
    }
    profile = {
        "num_rows": info.data.train_samples,
        "num_test_rows": info.data.test_samples,
        "num_classes": info.data.num_classes,
        "clients": len(counts),
        "samples_per_client": {"min": min(counts), "median": statistics.median(counts), "max": max(counts)},
    }
    source = {key: flat[key] for key in ("dataset_type", "data_dir", "data_distribution_kind", "dirichlet_beta")}
    return RunDescription(
        name=run_path.name,
        params={key: as_param(value) for key, value in {**flat, **facts}.items()},
        tags=_tags(flat, info, run_path) | component_tags(components),
        dataset_name=info.data.name,
        dataset_digest=info.data.digest,
        dataset_source=json.dumps(source),
        dataset_profile=json.dumps(profile),
    )


def component_tags(components: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Which code stood behind users' own components."""
    return {
        f"fedchunk.component.{key}.{part}": value[:_MAX_PARAM]
        for key, described in components.items()
        for part, value in described.items()
    }


def fork_tags(forked_from: Mapping[str, Any]) -> dict[str, str]:
    """Which run, round and state a run branched off."""
    names = ("run", "round", "weights_sha256", "checkpoint_sha256", "mlflow_run_id")
    return {
        f"fedchunk.forked_from.{name}": str(forked_from[name]) for name in names if forked_from.get(name) is not None
    }


def as_param(value: object) -> str:
    """A value as a settings file would write it (true, null, 0.1), as long as MLflow takes."""
    return (value if isinstance(value, str) else json.dumps(value))[:_MAX_PARAM]


def end_tags(summary: RunSummary) -> dict[str, str]:
    """What the run's end adds to its tags."""
    tags = {"fedchunk.status": summary.status, "fedchunk.rounds_completed": str(summary.rounds_completed)}
    if summary.target_metric != "accuracy":
        tags["fedchunk.target_metric"] = summary.target_metric
    if summary.weights_sha256:
        tags["fedchunk.weights_sha256"] = summary.weights_sha256
    if summary.error:
        tags["fedchunk.error"] = mask_uri(summary.error)[:_MAX_PARAM]
    return tags


def end_metrics(summary: RunSummary) -> dict[str, float]:
    """The figures that runs are compared by, each once; finite or not."""
    values = {
        "final/accuracy": summary.accuracy,
        "final/loss": summary.loss,
        "final/clients_accuracy_mean": summary.client_accuracy_mean,
        **_final_target(summary),
        "final/own_mean": summary.own_target_mean,
        "final/own_worst_tenth": summary.own_target_worst_tenth,
        "final/uplink_bytes": summary.uplink_bytes,
        "final/downlink_bytes": summary.downlink_bytes,
        "final/dense_uplink_bytes": summary.dense_uplink_bytes,
        "final/dense_downlink_bytes": summary.dense_downlink_bytes,
        "final/wall_s": summary.wall_s,
    }
    return {key: float(value) for key, value in values.items() if value is not None}


def _final_target(summary: RunSummary) -> dict[str, float | None]:
    """What the run is judged by, where that is not accuracy."""
    if summary.target_metric == "accuracy":
        return {}
    metric = summary.target_metric
    return {f"final/{metric}": summary.target, f"final/clients_{metric}_mean": summary.client_target_mean}


def _tags(flat: Mapping[str, Any], info: FederationInfo, run_path: Path) -> dict[str, str]:
    versions = {f"{name}.version": metadata.version(name) for name in ("fedchunk", "ray", "torch", "mlflow")}
    commit, process = _git_commit(), psutil.Process()
    return {
        **versions,
        **({"mlflow.source.git.commit": commit} if commit else {}),
        "python.version": platform.python_version(),
        HOST_TAG: socket.gethostname(),
        PID_TAG: str(process.pid),
        STARTED_TAG: repr(process.create_time()),
        "seed": str(flat["random_seed"]),
        "backend": info.backend,
        "device": info.device,
        OUTPUT_TAG: str(run_path),
        "mlflow.note.content": note(flat, info),
        "mlflow.source.name": "fedchunk run",
        "mlflow.source.type": "LOCAL",
        "mlflow.user": _user(),
    }


def _git_commit() -> str | None:
    """Of the folder that the experiment is started from: its settings and code, if they are kept in git."""
    try:
        asked = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return asked.stdout.strip() if asked.returncode == 0 else None


def _user() -> str:
    """Containers know no name for their user."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
