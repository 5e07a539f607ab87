"""Recorders that the settings name: what they raise is said with their place."""

from __future__ import annotations

from collections.abc import Sequence

from fedchunk.orchestrator.components import Bound
from fedchunk.orchestrator.contract.messages import ModelSpec, ModelState, RoundResult
from fedchunk.orchestrator.contract.ports import FederationInfo, Recorder, RunSummary


class OwnRecorder:
    """Passes everything on."""

    def __init__(self, bound: Bound, recorder: Recorder) -> None:
        """Raises ComponentFailed where ``recorder`` is none."""
        for method in ("start", "record_rounds", "finish"):
            if not callable(getattr(recorder, method, None)):
                raise bound.failed(f"returned {type(recorder).__name__} without a method {method}")
        self.name = f"recorder {bound.short_name}"
        self._bound, self._recorder = bound, recorder

    def start(self, info: FederationInfo) -> None:
        """Passed on."""
        with self._bound.named():
            self._recorder.start(info)

    def record_rounds(self, results: Sequence[RoundResult]) -> None:
        """Passed on."""
        with self._bound.named():
            self._recorder.record_rounds(results)

    def finish(self, summary: RunSummary, spec: ModelSpec | None, model: ModelState | None) -> None:
        """Passed on."""
        with self._bound.named():
            self._recorder.finish(summary, spec, model)
