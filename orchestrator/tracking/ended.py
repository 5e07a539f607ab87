"""How a run ended, as its folder says it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fedchunk.orchestrator.contract.ports import RunSummary
from fedchunk.orchestrator.core.errors import RecordsError
from fedchunk.orchestrator.core.manifest import check

MLFLOW_STATUS = {"finished": "FINISHED", "failed": "FAILED", "interrupted": "KILLED", "running": "KILLED"}
"""Status of a summary -> MLflow's. A run that ended and still says "running" was killed."""


def summary_of(run_path: Path) -> RunSummary:
    """Raises RecordsError."""
    file = run_path / "summary.json"
    try:
        return RunSummary(**read_json(file))
    except TypeError as error:
        raise RecordsError(f"{file} is not a summary of this version of fedchunk ({error})") from error


def mlflow_status(run_path: Path) -> str:
    """MLflow's word for how a run ended that is over: what its folder says; killed where it says nothing."""
    try:
        return MLFLOW_STATUS[summary_of(run_path).status]
    except (RecordsError, KeyError):
        return MLFLOW_STATUS["running"]


def read_json(file: Path) -> dict[str, Any]:
    """An object at the top of a run's folder. Raises RecordsError."""
    check(file.parent, file)
    try:
        values: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RecordsError(f"{file} cannot be read ({error}); it is needed to end the run in MLflow") from error
    return values
