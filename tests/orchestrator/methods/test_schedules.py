"""The factors of the rate, by hand and by property."""

from itertools import pairwise

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from fedchunk.orchestrator.methods.schedules.constant import constant
from fedchunk.orchestrator.methods.schedules.cosine import cosine
from fedchunk.orchestrator.methods.schedules.linear import linear
from fedchunk.orchestrator.methods.schedules.step import step

ROUNDS, FINALS = st.integers(1, 500), st.floats(0, 1)


def test_constant_is_1():
    assert [constant(round_index) for round_index in (1, 2, 1000)] == [1, 1, 1]


def test_linear_by_hand():
    assert [linear(round_index, 5) for round_index in range(1, 6)] == [1, 0.75, 0.5, 0.25, 0]
    assert [linear(round_index, 3, final=0.5) for round_index in range(1, 4)] == [1, 0.75, 0.5]


def test_cosine_by_hand():
    expected = [1, (1 + np.sqrt(0.5)) / 2, 0.5, (1 - np.sqrt(0.5)) / 2, 0]

    assert [cosine(round_index, 5) for round_index in range(1, 6)] == pytest.approx(expected)
    assert cosine(3, 5, final=0.2) == pytest.approx(0.6)


def test_step_by_hand():
    assert [step(round_index) for round_index in (1, 10, 11, 20, 21)] == [1, 1, 0.5, 0.5, 0.25]
    assert [step(round_index, every=1, factor=0.1) for round_index in (1, 2, 3)] == pytest.approx([1, 0.1, 0.01])


@pytest.mark.parametrize("schedule", [linear, cosine])
@given(rounds=ROUNDS, final=FINALS)
def test_it_falls_from_exactly_1_to_exactly_the_final_factor(schedule, rounds, final):
    factors = [schedule(round_index, rounds, final=final) for round_index in range(1, rounds + 1)]

    assert factors[0] == 1
    assert rounds == 1 or factors[-1] == final
    assert all(later <= earlier + 1e-15 for earlier, later in pairwise(factors))
    assert all(type(factor) is float for factor in factors)


@pytest.mark.parametrize("schedule", [linear, cosine])
def test_rounds_after_the_last_one_keep_the_final_factor(schedule):
    assert schedule(9, 5, final=0.25) == 0.25


@pytest.mark.parametrize("schedule", [linear, cosine])
def test_a_run_of_one_round_keeps_the_full_rate(schedule):
    assert schedule(1, 1) == 1


@given(st.integers(1, 2000), st.integers(1, 50), st.floats(0.01, 1))
def test_steps_never_rise_and_are_equal_in_between(round_index, every, factor):
    now, later = step(round_index, every, factor), step(round_index + 1, every, factor)

    assert later == (now if round_index % every else step(round_index + every, every, factor))
    assert later <= now
