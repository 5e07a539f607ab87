"""Which metrics a round has in MLflow. The part before the ``/`` is the group of charts in its UI."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import psutil
import pyarrow as pa

ROUND_METRICS: Mapping[str, str] = {
    "accuracy": "accuracy/global",
    "client_accuracy_mean": "accuracy/clients_mean",
    "client_accuracy_min": "accuracy/clients_min",
    "client_accuracy_max": "accuracy/clients_max",
    "target": "target/global",
    "client_target_mean": "target/clients_mean",
    "client_target_min": "target/clients_min",
    "client_target_max": "target/clients_max",
    "own_target_mean": "own/mean",
    "own_target_worst_tenth": "own/worst_tenth",
    "loss": "loss/global",
    "train_loss": "loss/train",
    "uplink_bytes": "bytes/uplink",
    "downlink_bytes": "bytes/downlink",
    "coverage": "chunks/coverage",
    "sensitivity_percentage": "chunks/sensitivity_percentage",
    "residual_norm": "chunks/residual_norm",
    "participants": "clients/participants",
    "failed": "clients/failed",
    "consensus_distance": "clients/consensus_distance",
    "wall_s": "time/round_s",
    "train_s": "time/train_s",
    "aggregate_s": "time/aggregate_s",
    "evaluate_s": "time/evaluate_s",
    "actors_busy": "time/actors_busy",
}
"""Column of the ``rounds`` table -> metric."""


def round_metrics(row: Mapping[str, object], totals: dict[str, float]) -> dict[str, float]:
    """The metrics of one round; nulls are left out.

    Args:
        row: the round's row of the ``rounds`` table.
        totals: bytes of the rounds before; this round's are added in place.
    """
    metrics = {metric: _number(row[column]) for column, metric in ROUND_METRICS.items() if row.get(column) is not None}
    for direction in ("uplink", "downlink"):
        key = f"bytes/{direction}_total"
        totals[key] = totals.get(key, 0.0) + metrics[f"bytes/{direction}"]
    exchanged = metrics["bytes/uplink"] + metrics["bytes/downlink"]
    saved = {"bytes/saved_share": 1 - exchanged / dense} if (dense := _number(row["dense_bytes"])) else {}
    return finite({**metrics, **totals, **saved})


def own_metrics(table: pa.Table) -> dict[str, float]:
    """The metrics that the settings ask for: of the coordinator's model, and the mean of clients' own models.

    Args:
        table: a round's rows of the ``metrics`` table.
    """
    of_clients: dict[str, list[float]] = {}
    metrics: dict[str, float] = {}
    for row in table.to_pylist():
        if row["client"] is None:
            metrics[f"metrics/{row['name']}"] = row["value"]
        else:
            of_clients.setdefault(f"metrics/clients_mean/{row['name']}", []).append(row["value"])
    return finite(metrics | {name: sum(values) / len(values) for name, values in of_clients.items()})


def system_metrics(folder: Path) -> dict[str, float]:
    """How busy this machine is, under MLflow's own names so that its UI shows them under System metrics.

    Args:
        folder: on the disk that is meant.
    """
    memory, disk = psutil.virtual_memory(), psutil.disk_usage(str(folder))
    return {
        "system/cpu_utilization_percentage": psutil.cpu_percent(),
        "system/system_memory_usage_megabytes": memory.used / 1e6,
        "system/system_memory_usage_percentage": memory.percent,
        "system/disk_usage_megabytes": disk.used / 1e6,
        "system/disk_usage_percentage": disk.percent,
        "system/disk_available_megabytes": disk.free / 1e6,
    }


def finite(metrics: Mapping[str, float]) -> dict[str, float]:
    """Without nan and inf: MLflow stores inf as 1.8e308, which ruins every chart."""
    return {key: value for key, value in metrics.items() if math.isfinite(value)}


def _number(value: object) -> float:
    return float(str(value))
