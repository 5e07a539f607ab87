"""Decisions of a round, as tables."""

import pickle
import zlib

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from fedchunk.orchestrator.core import errors
from fedchunk.orchestrator.core.round_rules import Decision, InOrder, cohort, first_attempts, needed
from fedchunk.orchestrator.core.seeds import generator, torch_seed


@given(st.permutations(range(12)))
def test_clients_are_added_in_order_whatever_order_they_settle_in(order):
    state, added = InOrder(tuple(range(12))), []
    for number, client in enumerate(order, start=1):
        state, ready = state.settle(client)
        added.extend(ready)
        assert set(added) <= set(order[:number])
    assert added == list(range(12))
    assert state.waiting == ()


def test_a_lost_call_is_repeated_up_to_the_limit():
    attempts = first_attempts([4, 5], limit=3)
    decisions = []
    for _ in range(3):
        attempts, decision = attempts.on_lost(4)
        decisions.append(decision)
    assert decisions == [Decision.ASK_AGAIN, Decision.ASK_AGAIN, Decision.GIVE_UP]
    assert attempts.made == {4: 3, 5: 1}


@given(st.integers(1, 500), st.floats(0.001, 1.0), st.integers(0, 2**63 - 1), st.integers(1, 1000))
def test_a_cohort_is_sorted_distinct_and_of_the_asked_size(clients, rate, seed, round_index):
    chosen = cohort(clients, rate, seed, round_index)
    assert len(chosen) == max(1, round(clients * rate))
    assert list(chosen) == sorted(set(chosen))
    assert set(chosen) <= set(range(clients))
    assert chosen == cohort(clients, rate, seed, round_index)


def test_cohorts_of_other_rounds_and_seeds_differ():
    assert len({cohort(1000, 0.1, seed, r) for seed in (1, 2) for r in range(1, 6)}) == 10


@pytest.mark.parametrize(("cohort_size", "rate", "expected"), [(10, 0.0, 1), (10, 0.5, 5), (10, 0.51, 6), (3, 1.0, 3)])
def test_needed_clients(cohort_size, rate, expected):
    assert needed(cohort_size, rate) == expected


def test_generators_share_nothing_between_seeds_purposes_rounds_and_clients():
    keys = [(s, p, r, c) for s in (0, 1) for p in ("batches", "cohort") for r in (0, 1) for c in (0, 1)]
    assert len({generator(*key).integers(2**63) for key in keys}) == len(keys)
    assert all(0 <= torch_seed(*key) < 2**63 for key in keys)


@pytest.mark.parametrize("seed", [0, 7, 2**32 - 1, 2**32, 2**63])
def test_generators_are_those_that_numpy_makes_of_the_numbers(seed):
    entropy = (seed, zlib.crc32(b"batches"), 3, 4)
    expected = np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy)))
    assert (
        generator(seed, "batches", 3, 4).integers(2**63, size=4).tolist() == expected.integers(2**63, size=4).tolist()
    )


@pytest.mark.parametrize(
    "error",
    [
        errors.ConfigError([errors.Fault("a.yaml:1:2", "key", "wrong")]),
        errors.DataError("no files"),
        errors.PayloadError("short"),
        errors.ClientFailed(3, 2, "train", "diverged"),
        errors.RoundFailed(2, 1, 5, {3: "late", 4: "late"}),
        errors.ActorsUnavailable("none"),
        errors.RecordsError("unreadable"),
        errors.TrackingError("away"),
    ],
)
def test_errors_survive_pickling_with_their_fields_and_words(error):
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)


def test_equal_reasons_are_said_once():
    assert "clients 3, 4: late" in str(errors.RoundFailed(2, 1, 5, {4: "late", 3: "late"}))
