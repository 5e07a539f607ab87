"""The coordinator's actor on Ray: the shell around the plain coordinator. Without torch.

Imports next to nothing: the driver reads this module before it starts Ray.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from fedchunk.actors.backends.memory import keep_freed_memory, uncollected

if TYPE_CHECKING:
    from fedchunk.orchestrator.contract.messages import ModelSpec, ModelState, RoundResult
    from fedchunk.orchestrator.settings.whole import Settings


class _CoordinatorShell:
    """The coordinator actor. Its threads: one plays a round, one waits to play the next, one answers questions.

    The next round begins as soon as one is over: while that one is written down and on its way to the driver.
    """

    def __init__(self, settings: Settings, spawn: Callable[[int], Any], first: Sequence[Any]) -> None:
        """``first`` has an actor without data for each bundle; ``spawn(bundle)`` starts one that replaces another."""
        keep_freed_memory()
        with uncollected():
            import fedchunk.actors.coordinator.assembly  # noqa: F401
        self._settings, self._spawn, self._first = settings, spawn, first
        self._progress = (0, 0)
        self._turn = threading.Condition()
        self._next_round = 1
        self._models: dict[int, ModelState] = {}

    def start(self, data: Sequence[Any], samples_per_client: tuple[int, ...], parts: tuple[slice, ...]) -> ModelSpec:
        """Makes the coordinator. ``data`` is the data's reference in a sequence, so that it is passed on, not read."""
        from fedchunk.actors.backends.ray_group import GroupLimits, RayClientGroup
        from fedchunk.actors.coordinator.assembly import build_coordinator

        waiting = dict(enumerate(self._first))

        def spawn(bundle: int) -> Any:
            actor = waiting.pop(bundle) if bundle in waiting else self._spawn(bundle)
            actor.take_data.remote(*data)
            return actor

        runtime = self._settings.runtime
        limits = GroupLimits(runtime.startup_timeout_s, runtime.client_timeout_s)
        group = RayClientGroup(spawn, len(self._first), limits)
        self._coordinator, spec = build_coordinator(self._settings, group, samples_per_client, parts)
        return spec

    def run_round(self, round_index: int, keep_model: bool) -> RoundResult:
        """``keep_model``: the next round is under way before the driver knows of this one and may ask for its model."""
        with self._turn:
            self._turn.wait_for(lambda: self._next_round == round_index)
        self._progress = (0, 0)
        try:
            played = self._coordinator.play(round_index, self._note)
            if keep_model:
                before = {round_index - 1: self._models[round_index - 1]} if round_index - 1 in self._models else {}
                self._models = before | {round_index: self._coordinator.model}
        finally:
            with self._turn:
                self._next_round += 1
                self._turn.notify_all()
        return played.result()

    def progress(self) -> tuple[int, int]:
        return self._progress

    def final_model(self, round_index: int) -> ModelState:
        return self._models.get(round_index) or self._coordinator.model

    def _note(self, done: int, cohort: int) -> None:
        self._progress = (done, cohort)
