"""How a run ended, as text for people and as the object that ``fedchunk run --json`` prints."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from fedchunk.orchestrator.commands.console import duration, percent, size, table
from fedchunk.orchestrator.commands.profile_text import profile_text, trace_place
from fedchunk.orchestrator.contract.ports import RunSummary
from fedchunk.orchestrator.core.target import ACCURACY, Target
from fedchunk.orchestrator.recording.summary_file import summary_json


def summary_dict(summary: RunSummary, folder: Path, run_id: str | None) -> dict[str, Any]:
    """The summary with where it lies: ``output_dir``, and ``run_id`` in MLflow (null if there is none)."""
    fields: dict[str, Any] = json.loads(summary_json(summary))
    return {"run_id": run_id, "output_dir": str(folder), **fields}


def summary_text(
    summary: RunSummary, folder: Path, report: Path | None, open_with: str | None, target: Target = ACCURACY
) -> str:
    """What people want to know at the end.

    Args:
        summary: how the run ended.
        folder: the run's folder.
        report: the report in it, None if there is none.
        open_with: the command that shows the run in MLflow's UI, None if it is not there.
        target: what the run is judged by.
    """
    rounds = f"{summary.rounds_completed} round{'' if summary.rounds_completed == 1 else 's'}"
    busy = "" if summary.actors_busy is None else f", actors busy {percent(summary.actors_busy, digits=0)}"
    lines = [f"{summary.status} after {rounds} in {duration(summary.wall_s)}{busy}"]
    lines += [*_measured(summary, folder, target), *_on_own(summary, target)]
    if summary.rounds_completed:
        lines += ["", _traffic(summary)]
    if (profile := profile_text(folder)) is not None:
        lines += ["", profile]
    places = [
        ("results", str(folder)),
        ("report", report and str(report)),
        ("trace", trace_place(folder)),
        ("MLflow", open_with),
    ]
    return "\n".join([*lines, "", *(f"{name:8} {place}" for name, place in places if place)])


def _measured(summary: RunSummary, folder: Path, target: Target) -> list[str]:
    values = dataclasses.asdict(summary)
    own, mean = target.of_coordinator(values), target.of_clients(values)
    if mean is None:
        return [] if own is None else [_of_coordinator(own, target)]
    of_clients = f"{target.metric} {target.text(mean)}"
    row = _last_measured(folder, target)
    shared = row is not None and row["consensus_distance"] == 0
    if own is not None and shared:
        return [f"{target.metric} {target.text(own)} (the model that all peers share, whole test set)"]
    if own is not None:
        return [_of_coordinator(own, target), f"{of_clients} (mean of the clients' own models)"]
    if row is None:
        return [f"{of_clients} (mean of the peers' models, whole test set)"]
    worst, best = map(target.text, target.spread(row))
    lines = [f"{of_clients} (mean of the peers' models, whole test set; worst {worst}, best {best})"]
    if row["consensus_distance"] is not None:
        lines.append(f"consensus distance {row['consensus_distance']:.3g} (mean squared distance from the mean model)")
    return lines


def _on_own(summary: RunSummary, target: Target) -> list[str]:
    if summary.own_target_mean is None:
        return []
    mean, worst = target.text(summary.own_target_mean), target.text(summary.own_target_worst_tenth)
    return [f"{target.metric} {mean} (mean of the clients' models, each on its own samples; worst tenth {worst})"]


def _of_coordinator(value: float, target: Target) -> str:
    return f"{target.metric} {target.text(value)} (the coordinator's model, whole test set)"


def _last_measured(folder: Path, target: Target) -> dict[str, Any] | None:
    """The last row of the recorded ``rounds`` in which the clients were measured; None if it could not be recorded."""
    path = folder / "tables" / "rounds.parquet"
    rows = pq.read_table(path).to_pylist() if path.exists() else []
    measured: list[dict[str, Any]] = [row for row in rows if target.of_clients(row) is not None]
    return measured[-1] if measured else None


def _traffic(summary: RunSummary) -> str:
    sent = summary.uplink_bytes + summary.downlink_bytes
    dense = summary.dense_uplink_bytes + summary.dense_downlink_bytes
    return table(
        [
            ("", "sent", "full exchange", "saved"),
            _row("up", summary.uplink_bytes, summary.dense_uplink_bytes),
            _row("down", summary.downlink_bytes, summary.dense_downlink_bytes),
            _row("both", sent, dense),
        ]
    )


def _row(name: str, sent: int, dense: int) -> tuple[str, ...]:
    return name, size(sent), size(dense), percent(1 - sent / dense)
