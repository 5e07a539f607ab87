"""The one thread that talks to the tracking store while a run goes, so that the run never waits for it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fedchunk.orchestrator.core.errors import RecordsError, TrackingError
from fedchunk.orchestrator.tracking.opening import begin_run, end_dead_runs
from fedchunk.orchestrator.tracking.spool import Point, Spool, StateFile

if TYPE_CHECKING:
    from fedchunk.orchestrator.tracking.client import MlflowStore

logger = logging.getLogger(__name__)

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 60.0


class Sender(threading.Thread):
    """Begins the run in its store, and sends what the spool holds, in order, one call for as much as fits.

    Keeps trying while the store is away.

    A daemon: a store that hangs must not keep the process alive. What it leaves is in the spool.
    """

    def __init__(self, open_store: Callable[[], MlflowStore], run_path: Path, state_file: StateFile) -> None:
        super().__init__(name="fedchunk-mlflow-sender", daemon=True)
        self._open_store, self._run_path, self._state_file = open_store, run_path, state_file
        self._spool = Spool(run_path)
        self._store: MlflowStore | None = None
        self._news = threading.Event()
        self._stopping = threading.Event()
        self._warned = False

    def wake(self) -> None:
        """Says that the spool has grown. Returns at once."""
        self._news.set()

    def stop(self, limit_s: float) -> bool:
        """Lets it send what it can in at most ``limit_s`` seconds; whether everything was sent."""
        self._stopping.set()
        self._news.set()
        self.join(limit_s)
        return not self.is_alive() and self._spool.count(self._state_file.state.sent_bytes) == 0

    def run(self) -> None:
        """The thread's life; ends after :meth:`stop` and one last try."""
        pause_s = _FIRST_PAUSE_S
        while True:
            last_try = self._stopping.is_set()
            arrived = self._send_all()
            if last_try:
                return
            if arrived:
                pause_s = _FIRST_PAUSE_S
                self._news.wait()
                self._news.clear()
            else:
                self._stopping.wait(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _send_all(self) -> bool:
        try:
            store = self._begun()
            run_id = begin_run(store, self._run_path, self._state_file)
            send_waiting(self._spool, self._state_file, lambda points: store.send(run_id, points))
        except (TrackingError, RecordsError, OSError) as trouble:
            if not self._warned:
                self._warned = True
                logger.warning(
                    "%s. The run goes on; its metrics wait in its folder, are tried again, "
                    "and `fedchunk sync` sends what is left.",
                    trouble,
                )
            return False
        return True

    def _begun(self) -> MlflowStore:
        """The store, with a run in it; on the way what is dead in it is ended."""
        if self._store is None:
            self._store = self._open_store()
            begin_run(self._store, self._run_path, self._state_file)
            end_dead_runs(self._store, self._run_path)
        return self._store


def send_waiting(spool: Spool, state_file: StateFile, send: Callable[[Sequence[Point]], None]) -> int:
    """Sends all that waits in the spool and notes each call's success.

    Returns:
        The number of points that were sent.

    Raises:
        TrackingError: of ``send``; what was sent before is noted.
        OSError: the spool cannot be read or the progress not be noted.
    """
    sent = 0
    while True:
        offset = state_file.state.sent_bytes
        points, end = spool.next_batch(offset)
        if end == offset:
            return sent
        send(points)
        sent += len(points)
        state_file.update(sent_bytes=end)
