"""The pool of client actors on Ray, as the coordinator sees it.

Every actor has its bundle of a placement group. One that dies, or does not answer in time, is killed and another is
started in its bundle; the calls it had are reported lost, and whoever submitted them decides. From then on a spare
actor stands by, with all imported, and takes the place of the next one that is lost. Each actor has at most two calls:
one it works on and one whose arguments Ray fetches meanwhile.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, ObjectLostError, RayActorError, RayError, RayTaskError

from fedchunk.actors.backends.inline import fits_inside_calls
from fedchunk.orchestrator.contract.ports import Call, Handle, Lost, Outcome, Raised, Returned
from fedchunk.orchestrator.core.errors import ActorsUnavailable, FedchunkError, reason_of

PATIENCE = 20
"""A call may take so many times as long as the slowest one so far, work for work."""
MORE_PATIENCE = 4
MOST_NOTICES = 100

CALLS_PER_ACTOR = 2
"""One at work and one waiting with its arguments fetched; more would only be lost together with the actor."""


@dataclass(frozen=True)
class GroupLimits:
    """How long to wait, in seconds."""

    startup_s: float
    call_s: float
    """For each client that a call works for, at most."""
    least_s: float
    """For a call, at least, however quick others were."""


@dataclass
class _Flight:
    """A call on its way."""

    call: Call
    references: list[ray.ObjectRef[Any]]


@dataclass
class _Slot:
    """A bundle and the actor that lives in it now."""

    index: int
    actor: Any
    ready: ray.ObjectRef[Any] | None
    """Answered, with the machine's name, once the actor stands; None after that."""
    deadline: float
    """When what is waited for (start, or the first call in ``flights``) is too late."""
    since: float = 0.0
    """When the first call in ``flights`` began."""
    answers: int = 0
    """How many calls it has answered."""
    flights: deque[_Flight] = field(default_factory=deque)
    machine: str | None = None
    replaces: bool = False
    """Whether it took the place of another."""

    @property
    def awaited(self) -> ray.ObjectRef[Any] | None:
        """What the actor has to answer next."""
        if self.ready is not None:
            return self.ready
        return self.flights[0].references[0] if self.flights else None


class RayClientGroup:
    """Implements :class:`fedchunk.orchestrator.contract.ports.ClientGroup`."""

    def __init__(
        self,
        spawn: Callable[[int], Any],
        size: int,
        limits: GroupLimits,
        spawn_spare: Callable[[int], Any] | None = None,
    ) -> None:
        """
        Args:
            spawn: ``spawn(bundle)`` starts an actor in a bundle and returns its handle at once.
            size: how many.
            limits: how long to wait.
            spawn_spare: the same, of one that takes no room beside the bundle's own until that is lost; None: there
                is no room for any.
        """
        self._spawn, self._spawn_spare = spawn, spawn_spare
        self._spare: _Slot | None = None
        """Stands by on the machine of the last actor that was replaced: where one is lost, so is another."""
        self._limits = limits
        self._queue: deque[Call] = deque()
        self._lost: deque[Lost] = deque()
        self._pace = Pace(limits)
        self._notices: deque[str] = deque(maxlen=MOST_NOTICES)
        self._restarts_without_success = 0
        self._slots = [self._start(index) for index in range(size)]

    @property
    def size(self) -> int:
        """Actors in the pool."""
        return len(self._slots)

    def put(self, value: Any) -> Handle:
        """Share one value with all actors; the process that calls this owns it. What is small goes along with calls."""
        return value if fits_inside_calls(value) else ray.put(value)

    def notices(self) -> list[str]:
        """What happened to actors since this was last asked, in words."""
        return [self._notices.popleft() for _ in range(len(self._notices))]

    def abandon(self) -> None:
        """Forgets the calls that no actor has yet."""
        self._queue.clear()
        self._lost.clear()

    def submit(self, call: Call) -> None:
        """Queue a call and hand it out if an actor is free."""
        self._queue.append(call)
        self._feed()

    def next_outcome(self) -> Outcome:
        """The next call that ended; waits no longer than the limits for each actor."""
        while True:
            if self._lost:
                return self._lost.popleft()
            self._feed()
            awaited = {slot.awaited: slot for slot in self._slots if slot.awaited is not None}
            if not awaited:
                raise ActorsUnavailable("no call is in flight")
            patience = min(slot.deadline for slot in awaited.values()) - time.monotonic()
            done, _ = ray.wait(list(awaited), num_returns=1, timeout=max(0.0, patience), fetch_local=False)
            if done:
                outcome = self._on_answer(awaited[done[0]])
                if outcome is not None:
                    return outcome
            else:
                self._replace_late()

    def _start(self, index: int) -> _Slot:
        actor = self._spawn(index)
        return _Slot(index, actor, actor.ready.remote(), time.monotonic() + self._limits.startup_s)

    def _feed(self) -> None:
        """Hands queued calls to actors that stand, the least busy first."""
        standing = [slot for slot in self._slots if slot.ready is None]
        while self._queue and standing:
            slot = min(standing, key=lambda s: len(s.flights))
            if len(slot.flights) >= CALLS_PER_ACTOR:
                return
            call = take_near(self._queue, slot.machine)
            ask = slot.actor.ask.options(num_returns=call.values + call.handles)
            answer = ask.remote(call.method, call.handles, *call.arguments)
            if not slot.flights:
                self._begin(slot, call)
            slot.flights.append(_Flight(call, answer if isinstance(answer, list) else [answer]))

    def _on_answer(self, slot: _Slot) -> Outcome | None:
        """What the actor of ``slot`` said; None if it only says that it stands, or died."""
        if slot.ready is not None:
            self._on_start(slot)
            return None
        flight = slot.flights[0]
        values = flight.references[: flight.call.values]
        try:
            got = ray.get(values, timeout=self._limits.call_s)
        except RayTaskError as error:
            self._advance(slot)
            return _task_failure(flight.call, error)
        except ObjectLostError as error:
            self._advance(slot)
            return Lost(flight.call, reason_of(error))
        except (RayError, GetTimeoutError) as error:
            self._replace(slot, f"its actor was lost ({type(error).__name__})")
            return None
        self._pace.note(flight.call, time.monotonic() - slot.since)
        slot.answers += 1
        self._advance(slot)
        self._restarts_without_success = 0
        return Returned(flight.call, tuple(got), tuple(flight.references[flight.call.values :]), slot.machine)

    def _on_start(self, slot: _Slot) -> None:
        try:
            assert slot.ready is not None
            slot.machine = ray.get(slot.ready, timeout=self._limits.startup_s)
        except RayTaskError as error:
            cause = _cause(error)
            if isinstance(cause, FedchunkError):
                raise cause from error
            raise ActorsUnavailable(f"a client actor cannot start: {reason_of(cause)}") from error
        except RayActorError as error:
            self._replace(slot, f"an actor died while it started: {error}")
        else:
            slot.ready = None
            self._have_spare(slot)

    def _have_spare(self, slot: _Slot) -> None:
        """Starts an actor beside one that took the place of another, once that stands and needs the machine no more."""
        if self._spawn_spare is not None and self._spare is None and slot.replaces:
            actor = self._spawn_spare(slot.index)
            self._spare = _Slot(slot.index, actor, actor.ready.remote(), 0.0, machine=slot.machine, replaces=True)

    def _substitute(self, slot: _Slot) -> _Slot:
        """What takes the place of a slot whose actor was lost: the spare, if it is on that machine, or a new actor."""
        spare = self._spare
        if spare is None or spare.machine != slot.machine:
            return replace(self._start(slot.index), replaces=True)
        self._spare = None
        return replace(spare, index=slot.index, deadline=time.monotonic() + self._limits.startup_s)

    def _advance(self, slot: _Slot) -> None:
        slot.flights.popleft()
        if slot.flights:
            self._begin(slot, slot.flights[0].call)

    def _begin(self, slot: _Slot, call: Call) -> None:
        """The actor of a slot starts with a call now."""
        slot.since = time.monotonic()
        slot.deadline = slot.since + self._pace.limit_s(call, is_first=not slot.answers)

    def _replace_late(self) -> None:
        now = time.monotonic()
        for slot in list(self._slots):
            if slot.awaited is not None and slot.deadline <= now:
                what = "did not start" if slot.ready is not None else "did not answer"
                limit_s = self._limits.startup_s if slot.ready is not None else slot.deadline - slot.since
                if slot.flights and slot.ready is None:
                    self._pace.was_late(slot.flights[0].call)
                self._replace(slot, f"its actor {what} within {limit_s:.3g} s")

    def _replace(self, slot: _Slot, reason: str) -> None:
        """Kills the actor of a slot, reports its calls lost and starts another in the same bundle."""
        self._give_up_on_repeats(reason)
        ray.kill(slot.actor, no_restart=True)
        whose = ", ".join(flight.call.whose for flight in slot.flights if flight.call.whose)
        repeated = f" What it had is asked again: {whose}." if whose else ""
        self._notices.append(f"client actor {slot.index} is replaced: {reason}.{repeated}")
        self._lost.extend(Lost(flight.call, reason) for flight in slot.flights)
        self._slots[slot.index] = self._substitute(slot)

    def _give_up_on_repeats(self, reason: str) -> None:
        """Actors that die again and again without one answer in between will not start to live."""
        self._restarts_without_success += 1
        if self._restarts_without_success > MAX_RESTARTS_PER_ACTOR * len(self._slots):
            raise ActorsUnavailable(
                f"{self._restarts_without_success} client actors in a row were lost without one answer; the last: "
                f"{reason}. Is there enough memory (`fedchunk doctor`)? startup_timeout_s and client_timeout_s are "
                f"{self._limits.startup_s:g} and {self._limits.call_s:g}."
            )


class Pace:
    """How long calls take, and so how long to wait for one: learned from those that came back.

    Before the first of a method came back there is the settings' limit only. A limit that was too short once is
    :data:`MORE_PATIENCE` times as long the next time, so that whoever is slow is not ended for ever.
    """

    def __init__(self, limits: GroupLimits) -> None:
        self._limits = limits
        self._slowest_s: dict[str, float] = {}
        """Of each method, for one unit of work."""
        self._late: dict[str, int] = {}

    def note(self, call: Call, took_s: float) -> None:
        """A call came back."""
        self._slowest_s[call.method] = max(self._slowest_s.get(call.method, 0.0), took_s / max(call.work, 1))

    def was_late(self, call: Call) -> None:
        """A call was given up."""
        self._late[call.method] = self._late.get(call.method, 0) + 1

    def limit_s(self, call: Call, *, is_first: bool) -> float:
        """How long a call may take; the first one of an actor finds nothing ready."""
        most_s = self._limits.call_s * call.clients
        if call.method not in self._slowest_s:
            return most_s
        learned_s = PATIENCE * self._slowest_s[call.method] * call.work
        least_s = self._limits.least_s * (2 if is_first else 1)
        patience = MORE_PATIENCE ** self._late.get(call.method, 0)
        return float(min(most_s, patience * max(least_s, learned_s)))


def take_near(queue: deque[Call], machine: str | None) -> Call:
    """Takes the first call that wants to be on ``machine``, else the first that does not mind, else the first."""
    for wanted in (machine, None):
        for at, call in enumerate(queue):
            if call.near == wanted:
                del queue[at]
                return call
    return queue.popleft()


MAX_RESTARTS_PER_ACTOR = 5
"""Enough to outlive a node that goes and comes back; few enough to end a run that cannot work."""


def _cause(error: RayTaskError) -> BaseException:
    cause: BaseException = getattr(error, "cause", None) or error
    return cause


def _task_failure(call: Call, error: RayTaskError) -> Lost | Raised:
    cause = _cause(error)
    if isinstance(cause, ObjectLostError):
        return Lost(call, f"what it was sent is gone with its node ({type(cause).__name__})", arguments_lost=True)
    return Raised(call, reason_of(cause))
