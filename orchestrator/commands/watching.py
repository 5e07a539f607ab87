"""Observers of a run that is called from Python: silent ones, and such as tell a function of each round."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from fedchunk.orchestrator.commands.progress import ProgressLine
from fedchunk.orchestrator.contract.messages import RoundResult
from fedchunk.orchestrator.contract.ports import Observer
from fedchunk.orchestrator.settings.whole import Settings


def shown(settings: Settings, progress: bool) -> AbstractContextManager[Observer]:
    """A line of progress on standard error, or nothing."""
    if not progress:
        return nullcontext(Silent())
    return ProgressLine(settings.federation.federated_learning_rounds, settings.target)


class Silent:
    """An observer that shows nothing."""

    def stage(self, name: str) -> None:
        """Nothing."""

    def clients_done(self, round_index: int, done: int, cohort: int) -> None:
        """Nothing."""

    def round_done(self, result: RoundResult) -> None:
        """Nothing."""


class Told:
    """Passes everything on, and tells a function of each round."""

    def __init__(self, observer: Observer, on_round: Callable[[Mapping[str, Any]], object] | None) -> None:
        self._observer, self._on_round = observer, on_round

    def stage(self, name: str) -> None:
        """Passed on."""
        self._observer.stage(name)

    def clients_done(self, round_index: int, done: int, cohort: int) -> None:
        """Passed on."""
        self._observer.clients_done(round_index, done, cohort)

    def round_done(self, result: RoundResult) -> None:
        """Passed on, and told."""
        self._observer.round_done(result)
        if self._on_round is not None:
            self._on_round(result.summary)
