"""Recorders that the settings name: what they raise never costs a round, and is said with their place."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from fedchunk.orchestrator.components import Bound
from fedchunk.orchestrator.contract.messages import ModelSpec, ModelState, RoundResult
from fedchunk.orchestrator.contract.ports import FederationInfo, Recorder, RunSummary
from fedchunk.orchestrator.core.errors import FedchunkError

logger = logging.getLogger(__name__)


class OptionalRecorder:
    """Passes everything on. What raises at the start ends the run; later it is a warning, once."""

    def __init__(self, bound: Bound, recorder: Recorder) -> None:
        """Raises ComponentFailed where ``recorder`` is none."""
        for method in ("start", "record_rounds", "finish"):
            if not callable(getattr(recorder, method, None)):
                raise bound.failed(f"returned {type(recorder).__name__} without a method {method}")
        self._bound, self._recorder = bound, recorder
        self._warned = False

    def start(self, info: FederationInfo) -> None:
        """Passed on."""
        with self._bound.named():
            self._recorder.start(info)

    def record_rounds(self, results: Sequence[RoundResult]) -> None:
        """Passed on."""
        with self._tolerated():
            self._recorder.record_rounds(results)

    def finish(self, summary: RunSummary, spec: ModelSpec | None, model: ModelState | None) -> None:
        """Passed on."""
        with self._tolerated():
            self._recorder.finish(summary, spec, model)

    @contextmanager
    def _tolerated(self) -> Iterator[None]:
        try:
            with self._bound.named():
                yield
        except FedchunkError as error:
            if not self._warned:
                self._warned = True
                logger.warning("%s. The run goes on without what it should have recorded.", error)
