"""The coordinator's actor plays one round after the other, and writes one down while the next one's clients work."""

import threading
import time

import pytest

from fedchunk.actors.backends import round_rows
from fedchunk.actors.backends.ray_coordinator import NO_MORE, RoundOrder, _CoordinatorShell

WAIT_S = 20


class Played:
    def __init__(self, round_index, log):
        self._round_index, self._log = round_index, log

    def result(self):
        self._log.append(f"written {self._round_index}")
        return self._round_index


class Rounds:
    """A coordinator whose clients are at work once ``begin`` is set."""

    def __init__(self):
        self.log = []
        self.begin = {}
        self.failing = set()

    def play(self, round_index, progress):
        self.log.append(f"begun {round_index}")
        if round_index in self.begin:
            assert self.begin[round_index].wait(WAIT_S)
        if round_index in self.failing:
            raise RuntimeError("no clients")
        self.log.append(f"at work {round_index}")
        progress(0, 3)
        return Played(round_index, self.log)

    def saved(self):
        return {}, []

    def model_now(self):
        at = [line for line in self.log if line.startswith("at work")][-1]
        return lambda: at


@pytest.fixture
def shell(monkeypatch):
    monkeypatch.setattr(round_rows.RoundRows, "of", staticmethod(lambda result: result))
    shell = _CoordinatorShell(None, None, ())
    shell._coordinator = Rounds()
    return shell


def ask(shell, round_index, answers):
    """Asks for a round in a thread of its own, as Ray does."""

    def run():
        try:
            answers[round_index] = shell.run_round(RoundOrder(round_index, 0, keep_model=True, keep_state=False))
        except RuntimeError as error:
            answers[round_index] = str(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def joined(*threads):
    for thread in threads:
        thread.join(WAIT_S)
        assert not thread.is_alive()


def started(shell, second_begins):
    """Round 1 under way until it may go on, with round 2 asked for."""
    rounds, answers, first = shell._coordinator, {}, threading.Event()
    rounds.begin = {1: first, 2: second_begins}
    threads = [ask(shell, 1, answers)]
    until(shell, lambda: shell._playing)
    threads.append(ask(shell, 2, answers))
    until(shell, lambda: 2 in shell._awaits_turn)
    return rounds, answers, first, threads


def until(shell, condition):
    """Waits until something holds that nobody need tell of."""
    deadline = time.monotonic() + WAIT_S
    with shell._turn:
        while not condition():
            assert time.monotonic() < deadline
            shell._turn.wait(0.01)


def test_a_round_is_written_down_once_the_next_ones_clients_are_at_work(shell):
    begins = threading.Event()
    rounds, answers, first, threads = started(shell, begins)
    first.set()
    until(shell, lambda: "begun 2" in rounds.log)
    assert "written 1" not in rounds.log, "the next round's clients wait for it"
    begins.set()
    joined(*threads)
    assert rounds.log.index("at work 2") < rounds.log.index("written 1")
    assert answers == {1: 1, 2: 2}


def test_a_round_that_nobody_follows_is_written_down_at_once(shell):
    answers = {}
    joined(ask(shell, 1, answers))
    assert shell._coordinator.log == ["begun 1", "at work 1", "written 1"]
    assert answers == {1: 1}


def test_a_round_is_written_down_also_where_the_next_one_fails_before_its_clients_work(shell):
    begins = threading.Event()
    rounds, answers, first, threads = started(shell, begins)
    rounds.failing = {2}
    first.set()
    begins.set()
    joined(*threads)
    assert answers == {1: 1, 2: "no clients"}
    assert shell._next_round == NO_MORE


def test_a_round_is_written_down_also_where_no_more_are_wanted(shell):
    rounds, answers, first, threads = started(shell, threading.Event())
    assert shell.hold() == 1
    first.set()
    joined(*threads)
    assert answers == {1: 1, 2: None}
    assert rounds.log == ["begun 1", "at work 1", "written 1"]


def test_the_model_of_a_round_is_that_also_when_the_next_one_is_over(shell):
    begins = threading.Event()
    _, _, first, threads = started(shell, begins)
    first.set()
    begins.set()
    joined(*threads)
    assert [shell.final_model(index) for index in (1, 2, 3)] == ["at work 1", "at work 2", "at work 2"]
