"""Recording behind the rounds: finished rounds are written while later ones run."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from dataclasses import replace

from fedchunk.orchestrator.contract.messages import RoundResult
from fedchunk.orchestrator.contract.ports import FederationInfo, Recorder
from fedchunk.orchestrator.contract.spans import SpanRecorder

MOST_WAITING = 64
"""Rounds that wait to be recorded; more would be memory that grows."""
PAUSE_S = 0.2
"""Short rounds are written together, about this long after they ended: files for each would cost more than they do."""


class Recording:
    """Starts recorders and tells them of rounds, in order, from a thread of its own.

    The first round runs while they start: MLflow alone takes seconds. A round never waits for a record, unless
    recording is so slow that :data:`MOST_WAITING` of them have piled up. Leaving waits until all are told, and raises
    what a recorder has raised.
    """

    def __init__(self, recorders: Sequence[Recorder], info: FederationInfo) -> None:
        self._recorders = recorders
        self._info = info
        self._spans = SpanRecorder("driver")
        self._rounds: queue.Queue[RoundResult] = queue.Queue(MOST_WAITING)
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._work, name="fedchunk-recording", daemon=True)
        self._error: BaseException | None = None

    def __enter__(self) -> Recording:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._leaving.set()
        self._thread.join()
        if self._error is not None:
            raise self._error

    @property
    def refused(self) -> bool:
        """Whether a recorder has raised, most likely when it was started. Then leaving raises what it said."""
        return self._error is not None

    def record(self, result: RoundResult) -> None:
        """Has a round recorded soon."""
        waits = True
        while waits and not self.refused:
            try:
                self._rounds.put(result, timeout=PAUSE_S)
                waits = False
            except queue.Full:
                continue

    def _work(self) -> None:
        try:
            for recorder in self._recorders:
                recorder.start(self._info)
            while not (self._leaving.wait(PAUSE_S) and self._rounds.empty()):
                if waiting := self._waiting():
                    self._tell(waiting)
        except BaseException as error:
            self._error = error

    def _waiting(self) -> list[RoundResult]:
        return [self._rounds.get() for _ in range(self._rounds.qsize())]

    def _tell(self, results: list[RoundResult]) -> None:
        if results[0].spans:  # what is noted of recording belongs to rounds before
            results[0] = replace(results[0], spans=(*results[0].spans, *self._spans.read_out()))
        with self._spans.doing("record"):
            for recorder in self._recorders:
                recorder.record_rounds(results)
