"""The coordinator's actor on Ray: the shell around the plain coordinator. Without torch.

Imports next to nothing: the driver reads this module before it starts Ray.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fedchunk.actors.backends.memory import keep_freed_memory, uncollected

if TYPE_CHECKING:
    from fedchunk.actors.backends.ray_client import Spawner
    from fedchunk.actors.backends.round_rows import RoundRows
    from fedchunk.actors.coordinator.assembly import Beginning
    from fedchunk.orchestrator.contract.messages import ModelState
    from fedchunk.orchestrator.settings.whole import Settings


NO_MORE = -1
"""The next round after one that failed: what was begun and not ended is no state to go on from."""

Saved = tuple[dict[str, Any], list[Any]]
"""What the coordinator knows, and references to clients' states."""


@dataclass(frozen=True)
class RoundOrder:
    """What the driver asks for."""

    round_index: int
    generation: int
    """How often the coordinator had been restored when this was asked for."""
    keep_model: bool
    """The next round is under way before the driver knows of this one and may ask for its model."""
    keep_state: bool
    """The driver will ask for a snapshot of the round's end."""


class _CoordinatorShell:
    """The coordinator actor. Its threads: one plays a round, one waits to play the next, one answers questions.

    The next round begins as soon as one is over, and once its clients are at work that one is written down: before,
    they would wait for it, as only one thread has the interpreter.
    """

    def __init__(self, settings: Settings, spawn: Spawner, first: Sequence[Any]) -> None:
        """``first`` has an actor without data for each bundle; ``spawn`` starts those that replace others."""
        keep_freed_memory()
        with uncollected():
            import fedchunk.actors.coordinator.assembly  # noqa: F401
        self._settings, self._spawn, self._first = settings, spawn, first
        self._progress = (0, 0)
        self._turn = threading.Condition()
        self._next_round = 1
        self._awaits_turn: set[int] = set()
        self._playing = False
        self._under_way = 0
        self._last = float("inf")
        self._generation = 0
        self._models: dict[int, Callable[[], ModelState]] = {}
        self._kept: dict[int, Saved] = {}

    def start(self, data: Sequence[Any], samples_per_client: tuple[int, ...], parts: tuple[slice, ...]) -> Beginning:
        """Makes the coordinator. ``data`` is the data's reference in a sequence, so that it is passed on, not read."""
        from fedchunk.actors.backends.ray_group import GroupLimits, RayClientGroup
        from fedchunk.actors.coordinator.assembly import build_coordinator

        waiting = dict(enumerate(self._first))

        def spawn(bundle: int) -> Any:
            actor = waiting.pop(bundle) if bundle in waiting else self._spawn(bundle)
            actor.take_data.remote(*data)
            return actor

        def spawn_spare(bundle: int) -> Any:
            actor = self._spawn.spare(bundle)
            actor.take_data.remote(*data)
            return actor

        runtime = self._settings.runtime
        limits = GroupLimits(runtime.startup_timeout_s, runtime.client_timeout_s, runtime.client_timeout_least_s)
        self._group = group = RayClientGroup(
            spawn, len(self._first), limits, spawn_spare if self._spawn.has_spares else None
        )
        self._coordinator, beginning = build_coordinator(self._settings, group, samples_per_client, parts)
        return beginning

    def run_round(self, order: RoundOrder) -> RoundRows | None:
        """One round, when it is its turn; None if no more are wanted, or if it was asked for before a restoring."""
        from fedchunk.actors.backends.round_rows import RoundRows

        round_index = order.round_index
        with self._turn:
            self._awaits_turn.add(round_index)
            self._turn.wait_for(lambda: order.generation < self._generation or self._next_round == round_index)
            self._awaits_turn.discard(round_index)
            self._turn.notify_all()
            if order.generation < self._generation or round_index > self._last:
                return None
            self._playing = True
        self._progress = (0, 0)
        clean = False
        try:
            played = self._coordinator.play(round_index, self._note)
            clean = True
        finally:
            with self._turn:
                self._playing = False
                if clean and (order.keep_state or round_index == self._last):
                    self._kept = {round_index: self._coordinator.saved()}
                if clean and order.keep_model:
                    before = {number: model for number, model in self._models.items() if number == round_index - 1}
                    self._models = before | {round_index: self._coordinator.model_now()}
                self._next_round = round_index + 1 if clean else NO_MORE
                self._turn.notify_all()
        self._let_next_begin(round_index)
        return RoundRows.of(played.result())

    def _let_next_begin(self, round_index: int) -> None:
        """Waits until the clients of the next round are at work, if there is one."""
        with self._turn:
            self._turn.wait_for(
                lambda: self._under_way > round_index or not (self._playing or round_index + 1 in self._awaits_turn)
            )

    def hold(self) -> int:
        """No round begins after the one in progress; which is the last."""
        with self._turn:
            self._last = self._next_round if self._playing else self._next_round - 1
            return int(self._last)

    def snapshot(self, round_index: int) -> Saved | None:
        """What there was after a round: kept, or still what there is; None where it is gone."""
        with self._turn:
            if round_index in self._kept:
                return self._kept.pop(round_index)
            if not self._playing and self._next_round == round_index + 1:
                return self._coordinator.saved()
        return None

    def restore(self, round_index: int, values: Mapping[str, Any], objects: Sequence[Any], generation: int) -> None:
        """Makes the coordinator what it was; rounds that were asked for before are no longer played."""
        with self._turn:
            self._generation = generation
            self._turn.notify_all()
            self._turn.wait_for(lambda: not self._playing)
            self._coordinator.restore(values, objects)
            self._next_round, self._models, self._kept = round_index + 1, {}, {}
            self._under_way = round_index

    def progress(self) -> tuple[int, int, list[str]]:
        """Clients that are done and those that take part, and what happened to actors since this was last asked."""
        return *self._progress, self._group.notices()

    def final_model(self, round_index: int) -> ModelState:
        return self._models.get(round_index, self._coordinator.model_now())()

    def _note(self, done: int, cohort: int) -> None:
        self._progress = (done, cohort)
        with self._turn:
            self._under_way = self._next_round
            self._turn.notify_all()
