"""What a run that has ended hands over to MLflow: artifacts, the final model, the end itself."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from fedchunk.orchestrator.tracking.description import as_param, end_metrics, end_tags
from fedchunk.orchestrator.tracking.ended import MLFLOW_STATUS, read_json, summary_of
from fedchunk.orchestrator.tracking.metrics import finite
from fedchunk.orchestrator.tracking.opening import begin_run
from fedchunk.orchestrator.tracking.sender import send_waiting
from fedchunk.orchestrator.tracking.spool import Point, Spool, StateFile

if TYPE_CHECKING:
    from fedchunk.orchestrator.tracking.client import MlflowStore

_MODEL_PARAMS = ("model_type", "dataset_type", "number_of_clients", "chunking", "chunking_parts", "random_seed")


def deliver(store: MlflowStore, run_path: Path, state_file: StateFile) -> int:
    """Everything that a run that has ended still owes its store: metrics, artifacts, the final model, the end.

    Each step may be repeated, and each that is done is noted.

    Returns:
        The number of artifacts; 0 if all had been done before.

    Raises:
        TrackingError: the store does not answer; try again later.
        RecordsError: the summary or the settings in the run's folder cannot be read.
        OSError: the run's folder cannot be written.
    """
    run_id = begin_run(store, run_path, state_file)
    send_waiting(Spool(run_path), state_file, lambda points: store.send(run_id, points))
    if state_file.state.delivered:
        return 0
    uploaded = store.upload(run_id, run_path)
    summary = summary_of(run_path)
    ended_ms = _ended_ms(run_path, state_file)
    if state_file.state.model_id is None and (run_path / "weights.safetensors").exists():
        params = {**_model_params(run_path), "weights_sha256": summary.weights_sha256 or ""}
        state_file.update(model_id=store.create_model(run_id, params))
    if summary.status != "running":
        metrics = finite(end_metrics(summary))
        points = [Point(key, value, summary.rounds_completed, ended_ms) for key, value in metrics.items()]
        store.end(run_id, points, end_tags(summary), state_file.state.model_id, summary.rounds_completed)
    store.terminate(run_id, MLFLOW_STATUS[summary.status], ended_ms)
    state_file.update(delivered=True)
    return uploaded


def _ended_ms(run_path: Path, state_file: StateFile) -> int:
    """When the run ended; of a killed run its last sign of life. Noted, so that a repetition says the same."""
    if state_file.state.ended_ms is None:
        state_file.update(ended_ms=Spool(run_path).written_ms() or time.time_ns() // 1_000_000)
    assert state_file.state.ended_ms is not None
    return state_file.state.ended_ms


def _model_params(run_path: Path) -> dict[str, str]:
    config = read_json(run_path / "config.json")
    return {key: as_param(config[key]) for key in _MODEL_PARAMS}
