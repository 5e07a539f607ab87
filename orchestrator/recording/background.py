"""Recording behind the rounds: each recorder is told of them by a thread of its own, while later rounds run.

The first recorder is the one that counts, the run's folder: rounds wait for it where it is slow, and a run that it
cannot begin to record is given up. All others are optional: whatever they raise, and however long they hang, costs
their own record and nothing else.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from fedchunk.orchestrator.contract.messages import ModelSpec, ModelState, RoundResult
from fedchunk.orchestrator.contract.ports import FederationInfo, Recorder, RunSummary
from fedchunk.orchestrator.contract.spans import SpanRecorder

logger = logging.getLogger(__name__)

MOST_WAITING = 64
"""Rounds that wait to be recorded; more would be memory that grows."""
PAUSE_S = 0.2
"""Short rounds are written together, about this long after they ended: files for each would cost more than they do."""
FINISH_LIMIT_S = 20.0
"""How long a run that has ended waits for all optional recorders together."""


@dataclass(frozen=True)
class End:
    """How the run ended, for ``Recorder.finish``."""

    summary: RunSummary
    spec: ModelSpec | None
    model: ModelState | None


class Recording:
    """Tells recorders of a run. Starts them at once: MLflow alone takes seconds."""

    def __init__(self, recorders: Sequence[Recorder], info: FederationInfo) -> None:
        self._spans = SpanRecorder("driver")
        first, others = recorders[:1], recorders[1:]
        self._folder = [_Lane(recorder, info, self._spans, optional=False) for recorder in first]
        self._optional = [_Lane(recorder, info, self._spans, optional=True) for recorder in others]

    @property
    def refused(self) -> BaseException | None:
        """What the first recorder raised when it was started; None while all is well."""
        return next((lane.error for lane in self._folder if lane.error), None)

    def record(self, result: RoundResult) -> None:
        """Has a round recorded soon."""
        if result.spans:  # what is noted of recording belongs to rounds before
            result = replace(result, spans=(*result.spans, *self._spans.read_out()))
        for lane in (*self._folder, *self._optional):
            lane.tell(result)

    def finish(self, end: End, hurried: Callable[[], bool] = lambda: False) -> None:
        """Has all recorders finish, and waits: for the first as long as it takes, for the others no longer than
        :data:`FINISH_LIMIT_S`, or until somebody is in a hurry.

        Raises what the first recorder raised.
        """
        for lane in (*self._folder, *self._optional):
            lane.end(end)
        for lane in self._folder:
            while not lane.join(PAUSE_S):
                pass  # writing what there is takes less than being asked why it is not there
        until = time.monotonic() + FINISH_LIMIT_S
        for lane in self._optional:
            done = lane.join(0)
            while not (done or hurried() or time.monotonic() > until):
                done = lane.join(PAUSE_S)
            if not done:
                logger.warning("%s has not finished; the end of the run does not wait for it any longer.", lane.name)
        if self.refused:
            raise self.refused


class _Lane:
    """One recorder and its thread."""

    def __init__(self, recorder: Recorder, info: FederationInfo, spans: SpanRecorder, *, optional: bool) -> None:
        self.name = getattr(recorder, "name", type(recorder).__name__)
        self.error: BaseException | None = None
        self._recorder, self._info, self._spans, self._is_optional = recorder, info, spans, optional
        self._queue: queue.Queue[RoundResult | End] = queue.Queue()
        self._missed = 0
        self._warned = False
        self._ending = threading.Event()
        # A daemon: what hangs must not keep the process alive.
        self._thread = threading.Thread(target=self._live, name=f"fedchunk-{self.name}", daemon=True)
        self._thread.start()

    def tell(self, result: RoundResult) -> None:
        """Queues a round. Where too many wait, an optional recorder misses it; the run waits for the first one."""
        while self.error is None and self._queue.qsize() >= MOST_WAITING:
            if self._is_optional:
                self._missed += 1
                if self._missed == 1:
                    logger.warning("%s is too slow: round %d is not recorded by it.", self.name, result.round_index)
                return
            time.sleep(PAUSE_S / 10)
        if self.error is None:
            self._queue.put(result)

    def end(self, end: End) -> None:
        """Queues the end."""
        self._queue.put(end)
        self._ending.set()

    def join(self, limit_s: float) -> bool:
        """Whether the recorder is done within the limit."""
        self._thread.join(limit_s)
        return not self._thread.is_alive()

    def _live(self) -> None:
        try:
            self._recorder.start(self._info)
        except BaseException as error:
            self.error = error
            self._warn(error)
            return
        while not self._work():
            self._ending.wait(PAUSE_S)

    def _warn(self, error: BaseException) -> None:
        """Of what an optional recorder raises: once, for what it raised once it mostly raises again."""
        if self._is_optional and not self._warned:
            self._warned = True
            logger.warning("%s: %s. The run goes on without what it should have recorded.", self.name, error)

    def _work(self) -> bool:
        """Passes on what waits; whether the end was among it."""
        waiting = [self._queue.get() for _ in range(self._queue.qsize())]
        rounds = [item for item in waiting if isinstance(item, RoundResult)]
        end = next((item for item in waiting if isinstance(item, End)), None)
        try:
            if rounds:
                with self._spans.doing("record"):
                    self._recorder.record_rounds(rounds)
        except Exception as error:
            self._failed(error)
        try:
            if end:
                self._recorder.finish(end.summary, end.spec, end.model)
        except Exception as error:
            self._failed(error)
        return end is not None

    def _failed(self, error: Exception) -> None:
        self._warn(error)
        if not self._is_optional:
            self.error = error
