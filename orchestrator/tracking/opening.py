"""How a run begins in its store: at the first moment at which the store answers, and once."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from fedchunk.orchestrator.core.errors import RecordsError, TrackingError
from fedchunk.orchestrator.tracking.beginning import Beginning
from fedchunk.orchestrator.tracking.ended import mlflow_status
from fedchunk.orchestrator.tracking.spool import StateFile, is_alive

if TYPE_CHECKING:
    from fedchunk.orchestrator.tracking.client import MlflowStore

logger = logging.getLogger(__name__)


def begin_run(store: MlflowStore, run_path: Path, state_file: StateFile) -> str:
    """The run's id in the store, which is told of the run if it does not know it yet.

    Raises:
        TrackingError: the store does not answer.
        RecordsError, OSError: the run's folder cannot be read or written.
    """
    with state_file.begin_lock:
        run_id = state_file.state.run_id
        if run_id is None:
            beginning = Beginning.load(run_path)
            known = store.find(beginning.experiment, beginning.uid) if state_file.state.beginning else None
            state_file.update(beginning=True)
            run_id = store.begin(beginning, known)
            state_file.update(run_id=run_id, beginning=False)
        if state_file.state.goes_on:
            state = state_file.state
            store.go_on(run_id, state.host, state.pid, state.process_started)
            state_file.update(goes_on=False)
    return run_id


def end_dead_runs(store: MlflowStore, run_path: Path) -> int:
    """Ends what the store believes to be running although its process on this machine is gone; how many there were.

    Looks at the experiment that the run in ``run_path`` belongs to.

    Of a run whose folder says how it ended, that is what the store is told; of another: killed.
    """
    ended = 0
    try:
        for dead in store.running(Beginning.load(run_path).experiment):
            if is_alive(dead.host, dead.pid, dead.process_started):
                continue
            store.terminate(dead.run_id, mlflow_status(Path(dead.folder)), None)
            ended += 1
    except (TrackingError, RecordsError, OSError) as trouble:
        logger.debug("dead runs could not be ended: %s", trouble)
    return ended
