"""Sends to MLflow what a run could not send, and gets a run's folder back from there."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fedchunk.orchestrator.core.errors import RecordsError, TrackingError
from fedchunk.orchestrator.core.masking import MASK
from fedchunk.orchestrator.tracking.delivery import deliver
from fedchunk.orchestrator.tracking.description import OUTPUT_TAG
from fedchunk.orchestrator.tracking.opening import begin_run, end_dead_runs
from fedchunk.orchestrator.tracking.sender import send_waiting
from fedchunk.orchestrator.tracking.spool import Point, Spool, StateFile, still_running
from fedchunk.orchestrator.tracking.store import open_store
from fedchunk.orchestrator.tracking.uri import resolve_store

ATTEMPTS = 4
"""Collisions with the run's own sender last milliseconds; a store that is away stays away."""
PAUSE_S = 0.25


@dataclass(frozen=True)
class SyncReport:
    """What :func:`sync` did."""

    run_id: str
    metrics_sent: int
    """Points that were waiting."""
    artifacts_uploaded: int
    remaining: int
    """Points that still wait, because the run goes on."""


def sync(run_path: Path, tracking_uri: str | None = None) -> SyncReport:
    """Sends what waits in the run's folder. May be repeated: nothing is there twice.

    A run in progress, here or on another machine, only has its metrics sent. A killed run is ended as killed.

    Args:
        run_path: the run's folder.
        tracking_uri: the store; None: the one the run was created in.

    Raises:
        RecordsError: this is not the folder of a run that was logged to MLflow.
        TrackingError: the store does not answer, does not know the run, or its address has to be given.
    """
    folder = run_path.resolve()
    state_file = StateFile.open(folder)
    spool = Spool(folder)
    store = open_store(_store_of(state_file, tracking_uri))
    run_id = begin_run(store, folder, state_file)
    store.tags(run_id)  # a store that is away, or another one, is said even if nothing waits
    if still_running(state_file.state):
        sent = _send_beside_the_run(spool, state_file, lambda points: store.send(run_id, points))
        return SyncReport(run_id, sent, 0, spool.count(state_file.state.sent_bytes))
    end_dead_runs(store, folder)
    waiting = spool.count(state_file.state.sent_bytes)
    uploaded = deliver(store, folder, state_file)
    return SyncReport(run_id, waiting, uploaded, 0)


def _send_beside_the_run(spool: Spool, state_file: StateFile, send: Callable[[Sequence[Point]], None]) -> int:
    """As :func:`send_waiting`, while the run's own process may be sending the same points.

    Where both insert a point at the same moment the store refuses one of them; the one that lost finds the point
    there when it comes again.
    """
    for _ in range(ATTEMPTS - 1):
        try:
            return send_waiting(spool, state_file, send)
        except TrackingError:
            time.sleep(PAUSE_S)
    return send_waiting(spool, state_file, send)


def download_run(run_id: str, tracking_uri: str | None, destination: Path) -> Path:
    """The folder of a run that MLflow knows: the one it was recorded in if that is here, else a copy of its artifacts.

    Args:
        run_id: MLflow's name of the run.
        tracking_uri: the store; None: the default one.
        destination: the folder for a copy; made if there is none.

    Raises:
        TrackingError: the store does not answer or does not know the run.
        RecordsError: the run was not made by fedchunk, or has no artifacts yet.
    """
    store = open_store(resolve_store(tracking_uri))
    recorded = store.tags(run_id).get(OUTPUT_TAG)
    if recorded is not None and _is_folder_of(run_id, Path(recorded)):
        return Path(recorded)
    destination.mkdir(parents=True, exist_ok=True)
    store.download(run_id, destination)
    if not (destination / "config.json").exists():
        raise RecordsError(
            f"run {run_id} has no config.json among its artifacts: it was not made by fedchunk, or its artifacts "
            "have not been sent (`fedchunk sync` on the machine that ran it)"
        )
    return destination


def _is_folder_of(run_id: str, folder: Path) -> bool:
    try:
        return StateFile.open(folder).state.run_id == run_id
    except RecordsError:
        return False


def _store_of(state_file: StateFile, tracking_uri: str | None) -> str:
    recorded = state_file.state.tracking_uri
    if tracking_uri is None and MASK in recorded:
        raise TrackingError(
            f"the run was logged to {recorded}, whose secret is not kept; give the whole address with --tracking-uri"
        )
    return resolve_store(tracking_uri or recorded)
