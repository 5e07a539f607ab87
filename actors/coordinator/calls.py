"""Runs a batch of calls on a group to their ends; what was lost with an actor is asked again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from fedchunk.orchestrator.contract.ports import Call, ClientGroup, Lost, Raised, Returned
from fedchunk.orchestrator.core.round_rules import Decision, InOrder, first_attempts


@dataclass(frozen=True)
class Settled:
    """The end of one call: its answer, or why there is none."""

    key: int
    attempts: int
    answer: Returned | None
    reason: str = ""


def same_call(lost: Lost) -> Call:
    """Repeats a lost call as it was."""
    return lost.call


def run_calls(
    group: ClientGroup, calls: Sequence[Call], max_attempts: int, again: Callable[[Lost], Call] = same_call
) -> Iterator[Settled]:
    """Submits ``calls`` and yields each as it is settled, in the order in which they end.

    Args:
        group: the actors.
        calls: their keys are different.
        max_attempts: how often one call is made at most.
        again: builds the call that repeats a lost one.
    """
    attempts = first_attempts((call.key for call in calls), max_attempts)
    in_flight = {call.key: call for call in calls}
    for call in calls:
        group.submit(call)
    while in_flight:
        outcome = group.next_outcome()
        key = outcome.call.key
        if outcome.call is not in_flight.get(key):
            continue  # left over from a batch that was interrupted
        if isinstance(outcome, Lost):
            attempts, decision = attempts.on_lost(key)
            if decision is Decision.ASK_AGAIN:
                in_flight[key] = again(outcome)
                group.submit(in_flight[key])
                continue
        del in_flight[key]
        yield _settled(key, attempts.made[key], outcome)


def run_calls_in_order(
    group: ClientGroup,
    calls: Sequence[Call],
    max_attempts: int,
    again: Callable[[Lost], Call] = same_call,
    note: Callable[[int], None] = lambda done: None,
) -> Iterator[Settled]:
    """As :func:`run_calls`, but yields in the order of ``calls``, each as soon as all before it are settled.

    ``note`` is told for how many clients calls have ended, in whatever order.
    """
    order = InOrder(tuple(call.key for call in calls))
    clients = {call.key: call.clients for call in calls}
    waiting: dict[int, Settled] = {}
    done = 0
    for settled in run_calls(group, calls, max_attempts, again):
        done += clients[settled.key]
        note(done)
        waiting[settled.key] = settled
        order, ready = order.settle(settled.key)
        for key in ready:
            yield waiting.pop(key)


def _settled(key: int, attempts: int, outcome: Returned | Lost | Raised) -> Settled:
    if isinstance(outcome, Returned):
        return Settled(key, attempts, outcome)
    if isinstance(outcome, Lost):
        return Settled(key, attempts, None, f"{outcome.reason} (asked {attempts} times)")
    return Settled(key, attempts, None, outcome.reason)
