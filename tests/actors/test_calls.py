"""Calls that are lost: asked again, searched for a client that takes its actor with it, or given up."""

from collections import deque

import pytest

from fedchunk.actors.coordinator.calls import Split, run_calls, same_call
from fedchunk.orchestrator.contract.ports import Call, Lost, Returned
from fedchunk.orchestrator.core.errors import StatesLost


class Group:
    """Answers calls in their order, each as ``what(clients)`` says."""

    def __init__(self, what):
        self._what, self._calls = what, deque()
        self.asked = []

    def submit(self, call):
        self._calls.append(call)

    def next_outcome(self):
        call = self._calls.popleft()
        self.asked.append(call.arguments[0])
        return self._what(call)


def call_of(key, clients):
    return Call(key, "train_group", (clients,), clients=len(clients))


def split_of(calls):
    clients = {call.key: call.arguments[0] for call in calls}

    def alone(key):
        return {client: call_of(-1 - client, (client,)) for client in clients[key]}

    def without(key, lost):
        clients[key] = tuple(client for client in clients[key] if client not in lost)
        return call_of(key, clients[key]) if clients[key] else None

    return Split(alone, without)


def settled(group, calls, again=same_call):
    return {one.key: one for one in run_calls(group, calls, 3, again, split_of(calls))}


def test_a_call_that_is_lost_twice_is_searched_and_made_without_the_one_that_is_lost_alone():
    calls = [call_of(0, (0, 1, 2)), call_of(1, (3, 4))]
    group = Group(lambda call: Lost(call, "gone") if 1 in call.arguments[0] else Returned(call, ("fine",), (), None))
    done = settled(group, calls)
    assert group.asked == [(0, 1, 2), (3, 4), (0, 1, 2), (0,), (1,), (2,), (0, 2)]
    assert set(done[0].lost) == {1}
    assert done[0].answer.values == done[1].answer.values == ("fine",)
    assert not done[1].lost


def test_who_is_lost_beside_one_that_is_to_blame_is_not_left_out():
    """An actor has two calls: one it works on and one that waits, and both are lost with it."""

    class OneActor(Group):
        lost_too = False

        def next_outcome(self):
            deadly = not self.lost_too and 1 in self._calls[0].arguments[0]
            beside, self.lost_too = self.lost_too, deadly and len(self._calls) > 1
            call = self._calls.popleft()
            self.asked.append(call.arguments[0])
            return Lost(call, "gone") if deadly or beside else Returned(call, ("fine",), (), None)

    calls = [call_of(0, (0, 1, 2)), call_of(1, (3, 4)), call_of(2, (5, 6))]
    done = settled(OneActor(None), calls)
    assert {key: set(one.lost) for key, one in done.items()} == {0: {1}, 1: set(), 2: set()}
    assert all(one.answer.values == ("fine",) for one in done.values())


def test_nobody_is_left_out_for_states_that_are_gone_when_they_are_asked_alone():
    """A node that dies may first show as two calls that took too long."""
    calls = [call_of(0, (0, 1))]
    group = Group(lambda call: Lost(call, "gone", arguments_lost=len(call.arguments[0]) == 1))

    def again(lost):
        if lost.arguments_lost:
            raise StatesLost(list(calls[lost.call.key].arguments[0]))
        return lost.call

    with pytest.raises(StatesLost):
        settled(group, calls, again)
    assert group.asked == [(0, 1), (0, 1), (0,)]


def test_where_nobody_knows_of_lost_states_a_call_is_given_up_in_the_end():
    calls = [call_of(0, (0, 1))]
    group = Group(lambda call: Lost(call, "gone", arguments_lost=True))
    done = settled(group, calls)
    assert (done[0].answer, done[0].attempts, done[0].reason) == (None, 3, "gone (asked 3 times)")
