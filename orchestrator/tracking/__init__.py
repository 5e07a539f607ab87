"""MLflow: one run per experiment, spooled to disk so that no server can stop or slow a round."""

from orchestrator.tracking.later import SyncReport, download_run, sync
from orchestrator.tracking.recorder import MlflowRecorder

__all__ = ["MlflowRecorder", "SyncReport", "download_run", "sync"]
