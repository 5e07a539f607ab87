"""Runs a batch of calls on a group to their ends; what was lost with an actor is asked again.

A call for several clients that is lost twice may have one among them that takes its actor with it each time: then each
is asked alone, one after the other, and the call is repeated without those that are lost alone, too. Another call that
is lost meanwhile waits: it may have shared an actor with one that is to blame, and is asked again once that is found.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from fedchunk.orchestrator.contract.ports import Call, ClientGroup, Lost, Outcome, Raised, Returned
from fedchunk.orchestrator.core.errors import StatesLost
from fedchunk.orchestrator.core.round_rules import Decision, InOrder, first_attempts
from fedchunk.orchestrator.methods.grouping import Group

LOST_BEFORE_SEARCH = 2
"""How often a call for several clients is lost before they are asked one by one."""


@dataclass(frozen=True)
class Settled:
    """The end of one call: its answer, or why there is none."""

    key: int
    attempts: int
    answer: Returned | None
    reason: str = ""
    lost: Mapping[int, str] = field(default_factory=dict)
    """Clients without whom the call was made in the end, and why."""


@dataclass(frozen=True)
class Split:
    """How a call for several clients is taken apart."""

    alone: Callable[[int], Mapping[int, Call]]
    """From the call's key to a call for each of its clients; their answers are not used."""
    without: Callable[[int, Mapping[int, str]], Call | None]
    """From the call's key, and clients that are left out, to the call for the others; None if there are none."""


def same_call(lost: Lost) -> Call:
    """Repeats a lost call as it was."""
    return lost.call


def same_call_unless_gone(lost: Lost) -> Call:
    """As :func:`same_call`; raises StatesLost where what the call needs is gone, so that no repetition helps."""
    if lost.arguments_lost:
        raise StatesLost([lost.call.key])
    return lost.call


class _Search:
    """Asks the clients of a call one by one: two at a time could share an actor, and be lost together."""

    def __init__(self, key: int, calls: Mapping[int, Call]) -> None:
        self.key = key
        self.lost: dict[int, str] = {}
        self._calls = dict(calls)
        self._client = -1

    def next_call(self) -> Call | None:
        """The next client's call; None if all were asked."""
        if not self._calls:
            return None
        self._client = next(iter(self._calls))
        return self._calls.pop(self._client)

    def note(self, outcome: Outcome) -> None:
        """What became of the call that was asked last."""
        if isinstance(outcome, Lost):
            self.lost[self._client] = f"{outcome.reason}, asked alone (after {LOST_BEFORE_SEARCH} times with others)"


def run_calls(
    group: ClientGroup,
    calls: Sequence[Call],
    max_attempts: int,
    again: Callable[[Lost], Call] = same_call,
    split: Split | None = None,
) -> Iterator[Settled]:
    """Submits ``calls`` and yields each as it is settled, in the order in which they end.

    Args:
        group: the actors.
        calls: their keys are different, and not negative.
        max_attempts: how often one call is made at most.
        again: builds the call that repeats a lost one.
        split: takes a call for several clients apart; None: it is repeated whole.
    """
    return _Batch(group, max_attempts, again, split).settled(calls)


class _Batch:
    """Calls that are under way together."""

    def __init__(
        self, group: ClientGroup, max_attempts: int, again: Callable[[Lost], Call], split: Split | None
    ) -> None:
        self._group, self._again, self._split = group, again, split
        self._max_attempts = max_attempts
        self._in_flight: dict[int, Call] = {}
        self._searches: dict[int, _Search] = {}
        """One at most, by the key of the call to the client that is asked now."""
        self._waiting: list[Lost] = []
        self._left_out: dict[int, Mapping[int, str]] = {}

    def settled(self, calls: Sequence[Call], meanwhile: Callable[[], None] = lambda: None) -> Iterator[Settled]:
        """Submits all, does something else, and yields each as it ends."""
        self._attempts = first_attempts((call.key for call in calls), self._max_attempts)
        for call in calls:
            self._in_flight[call.key] = call
            self._group.submit(call)
        meanwhile()
        while self._in_flight:
            outcome = self._group.next_outcome()
            key = outcome.call.key
            if outcome.call is not self._in_flight.get(key):
                continue  # left over from a batch that was interrupted
            ended = self._on_one(outcome) if key in self._searches else self._on_outcome(outcome)
            if ended is not None:
                yield ended

    def _submit(self, call: Call) -> None:
        self._in_flight[call.key] = call
        self._group.submit(call)

    def _on_outcome(self, outcome: Outcome) -> Settled | None:
        key = outcome.call.key
        if isinstance(outcome, Lost):
            if self._split is not None and not outcome.arguments_lost:
                if self._searches:
                    self._waiting.append(outcome)
                    return None
                if self._is_searched(outcome.call):
                    return self._search_on(_Search(key, self._split.alone(key)))
            self._attempts, decision = self._attempts.on_lost(key)
            if decision is Decision.ASK_AGAIN:
                self._submit(self._again(outcome))
                return None
        del self._in_flight[key]
        return _settled(key, self._attempts.made[key], outcome, self._left_out.get(key, {}))

    def _is_searched(self, call: Call) -> bool:
        often = self._attempts.made[call.key] >= min(LOST_BEFORE_SEARCH, self._max_attempts)
        return often and call.clients > 1 and call.key not in self._left_out

    def _on_one(self, outcome: Outcome) -> Settled | None:
        """A client that was asked alone has answered, or was lost."""
        search = self._searches.pop(outcome.call.key)
        del self._in_flight[outcome.call.key]
        if isinstance(outcome, Lost) and outcome.arguments_lost:
            # No client's fault: how the whole call is asked again decides, and says whose states are gone.
            self._submit(self._again(replace(outcome, call=replace(outcome.call, key=search.key))))
            self._ask_those_that_waited()
            return None
        search.note(outcome)
        return self._search_on(search)

    def _search_on(self, search: _Search) -> Settled | None:
        following = search.next_call()
        if following is not None:
            self._searches[following.key] = search
            self._submit(following)
            return None
        assert self._split is not None
        self._left_out[search.key] = search.lost
        without = self._split.without(search.key, search.lost)
        if without is not None:
            self._submit(without)
        self._ask_those_that_waited()
        if without is not None:
            return None
        del self._in_flight[search.key]
        return Settled(search.key, self._attempts.made[search.key], None, "", search.lost)

    def _ask_those_that_waited(self) -> None:
        for lost in self._waiting:
            self._submit(self._again(lost))
        self._waiting.clear()


def run_calls_in_order(
    group: ClientGroup,
    calls: Sequence[Call],
    max_attempts: int,
    again: Callable[[Lost], Call] = same_call,
    note: Callable[[int], None] = lambda done: None,
    split: Split | None = None,
    meanwhile: Callable[[], None] = lambda: None,
) -> Iterator[Settled]:
    """As :func:`run_calls`, but yields in the order of ``calls``, each as soon as all before it are settled.

    ``note`` is told for how many clients calls have ended, in whatever order, and once all are submitted that none
    has; ``meanwhile`` is done then.
    """

    def begun() -> None:
        note(0)
        meanwhile()

    order = InOrder(tuple(call.key for call in calls))
    clients = {call.key: call.clients for call in calls}
    waiting: dict[int, Settled] = {}
    done = 0
    for settled in _Batch(group, max_attempts, again, split).settled(calls, begun):
        done += clients[settled.key]
        note(done)
        waiting[settled.key] = settled
        order, ready = order.settle(settled.key)
        for key in ready:
            yield waiting.pop(key)


_PROBES = itertools.count(-1, -1)


def probe_key() -> int:
    """A key that no other call has."""
    return next(_PROBES)


@dataclass(frozen=True)
class Repeats:
    """How calls that were lost are repeated."""

    again: Callable[[Lost], Call]
    split: Split


def repeats_of_groups(groups: list[Group], call: Callable[[int, Group], Call]) -> Repeats:
    """Of calls for a group each.

    Args:
        groups: by the calls' keys; one becomes smaller where it has a client that is left out.
        call: makes the call of a key for some clients.
    """

    def again(lost: Lost) -> Call:
        if lost.arguments_lost:
            raise StatesLost(list(groups[lost.call.key]))
        return lost.call

    def alone(key: int) -> dict[int, Call]:
        return {client: call(probe_key(), (client,)) for client in groups[key]}

    def without(key: int, lost: Mapping[int, str]) -> Call | None:
        groups[key] = tuple(client for client in groups[key] if client not in lost)
        return call(key, groups[key]) if groups[key] else None

    return Repeats(again, Split(alone, without))


def _settled(key: int, attempts: int, outcome: Outcome, lost: Mapping[int, str]) -> Settled:
    if isinstance(outcome, Returned):
        return Settled(key, attempts, outcome, "", lost)
    if isinstance(outcome, Lost):
        return Settled(key, attempts, None, f"{outcome.reason} (asked {attempts} times)", lost)
    assert isinstance(outcome, Raised)
    return Settled(key, attempts, None, outcome.reason, lost)
