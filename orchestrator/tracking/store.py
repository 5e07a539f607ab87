"""Opens a tracking store. mlflow is imported here, late, because it takes seconds and reads the environment then."""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fedchunk.orchestrator.tracking.client import MlflowStore

MLFLOW_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # By default a call to a dead server returns after 247 s. The sender repeats calls itself.
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
}
"""How MLflow is to behave in our processes; what the user has set already stays. It reads these nowhere else."""


def open_store(uri: str) -> MlflowStore:
    """The tracking store at ``uri``; imports mlflow, which takes seconds.

    Raises:
        TrackingError: there is no such store, or it does not answer.
    """
    for name, value in MLFLOW_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    with warnings.catch_warnings():
        # SQLAlchemy warns MLflow of what a later version will drop; our users can do nothing about it.
        warnings.simplefilter("ignore", DeprecationWarning)
        from fedchunk.orchestrator.tracking.client import MlflowStore

        return MlflowStore(uri)
