"""Of their models clients keep what the next message may lack, and nothing changes by it."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from fedchunk.actors.backends.local import LocalFederation
from fedchunk.actors.client import keeping, star
from fedchunk.actors.client.star import StarClient
from fedchunk.actors.client.states import model_of, stack_states, with_trained
from fedchunk.actors.coordinator.dispatch import Dispatch
from fedchunk.orchestrator.chunking.layout import Layout
from fedchunk.orchestrator.contract.messages import ClientState
from fedchunk.orchestrator.learning.engines.group_trainer import TrainedGroup
from fedchunk.orchestrator.methods.exchange_rules.contributors import Contributors

RARE = {
    "number_of_clients": 9, "client_sampling_rate": 0.7, "federated_learning_rounds": 6, "clients_per_group": 3,
    "sensitivity_percentage": 20.0,
}  # fmt: skip


@pytest.fixture
def kept(monkeypatch):
    """What groups of clients kept of their models, call by call: which chunks (None: all), and how many values."""
    seen = []

    def noted(states, trained, kept_C, layout):
        made = with_trained(states, trained, kept_C, layout)
        seen.append((kept_C, made.weights_MP.shape[1]))
        return made

    monkeypatch.setattr(keeping, "with_trained", noted)
    return seen


@pytest.mark.parametrize(
    "rules",
    [
        {},
        {"model_type": "cnn", "chunk_layout": "tensors"},
        {"chunk_encoding": "int8", "chunk_score": "accumulated", "clients_per_call": 1},
        {"evaluate_clients": True, "evaluation_interval": 2},
        {"server_optimizer": "adam", "server_learning_rate": 0.01},
        {"sensitivity_percentage": 100.0},
        {"initial_model": "seed", "client_sampling_rate": 0.4, "chunk_age_exponent": 1.0},
        {"clients_per_group": 4, "checkpoint_interval": 2},
    ],
)
def test_with_parts_of_models_with_whole_ones_and_with_messages_that_are_opened_a_run_is_the_same(
    rules, make_settings, run_local, kept, without_times, monkeypatch
):
    settings = make_settings(**{**RARE, **rules})
    parts = run_local(settings)
    in_parts, kept[:] = list(kept), []
    monkeypatch.setattr(Contributors, "replaces_sent", False)
    whole = run_local(settings)
    monkeypatch.setattr(Dispatch, "writes_messages", True)
    written = run_local(settings)

    assert all(kept_C is not None for kept_C, _ in in_parts)
    assert sum(values for _, values in in_parts) < len(in_parts) * parts.spec.num_parameters
    assert {values for _, values in kept} == {parts.spec.num_parameters}
    for other in (whole, written):
        assert np.array_equal(parts.model.weights_P, other.model.weights_P)
        for table in ("rounds", "clients", "chunks", "ledger"):
            assert without_times(parts.rows(table)) == without_times(other.rows(table)), table


def test_they_keep_what_nobody_in_their_group_sent(make_settings, run_local, kept):
    run = run_local(make_settings(**{**RARE, "client_sampling_rate": 1.0}))
    layout = Layout(run.spec.num_parameters, 20)
    sent = np.zeros((6, 3, 20), bool)
    for row in run.rows("chunks"):
        sent[row["round"] - 1, row["client"] // 3, row["chunk"]] |= row["selected"]

    assert len(kept) == 18
    for (kept_C, values), sent_C in zip(kept, sent.reshape(18, 20), strict=True):
        assert np.array_equal(kept_C, ~sent_C)
        assert values == layout.num_values(kept_C)


def test_what_does_not_count_is_kept(make_settings, kept, observer, run_entered):
    class Wild(StarClient):
        """One client's model is not finite: its message is rejected."""

        def __init__(self, *arguments):
            super().__init__(*arguments)
            train = self._worker.train

            def wild(round_index, clients, *rest):
                trained = train(round_index, clients, *rest)
                if 1 in clients:
                    trained.weights_GP[list(clients).index(1)] = np.nan
                return trained

            self._worker.train = wild

    few = {"number_of_clients": 3, "clients_per_group": 3, "federated_learning_rounds": 1, "chunk_score": "random"}
    settings = make_settings(**few)
    with LocalFederation(settings, observer, Wild) as federation:
        run = run_entered(federation, settings)
    chunks = [row for row in run.rows("chunks") if row["selected"]]
    counted = {row["chunk"] for row in chunks if row["client"] != 1}

    assert [row["status"] for row in run.rows("clients")] == ["ok", "rejected", "ok"]
    assert set(np.flatnonzero(kept[0][0])) == set(range(20)) - counted != set(), "also what client 1 alone sent"


@pytest.mark.parametrize(
    "rules",
    [
        {"chunk_reconstruction": "own_weights"},
        {"aggregation_strategy": "median"},
        {"momentum": 0.9, "momentum_start": "quasi_global"},
        {"transport": "tcp"},
    ],
)
def test_where_a_chunk_of_their_own_may_be_needed_they_keep_all(rules, make_settings, run_local, kept):
    run_local(make_settings(**{**RARE, "federated_learning_rounds": 2, **rules}))

    assert all(kept_C is None for kept_C, _ in kept)


FEEDBACK = {
    **RARE, "chunk_reconstruction": "error_feedback", "chunk_score": "accumulated", "withheld_share": 0.5,
    "downlink_sensitivity_percentage": 30.0, "chunk_encoding": "int4",
}  # fmt: skip


@pytest.fixture
def held(monkeypatch):
    """Whether clients held models, of all states that they gave back."""
    seen = []

    def noted(states):
        seen.extend(state.model is not None for state in states)
        return stack_states(states)

    for module in (keeping, star):
        monkeypatch.setattr(module, "stack_states", noted)
    return seen


@pytest.mark.parametrize(
    "rules",
    [
        {},
        {"evaluate_clients": True, "evaluation_interval": 2, "clients_per_call": 1},
        {"aggregation_strategy": "median"},
        {"local_parameters": ["5.*"], "initial_model": "seed"},
    ],
)
def test_with_error_feedback_none_holds_the_model_that_all_know_and_nothing_changes_by_it(
    rules, make_settings, run_local, held, without_times, monkeypatch
):
    settings = make_settings(**{**FEEDBACK, **rules})
    without = run_local(settings)
    assert not any(held)
    monkeypatch.setattr(star, "all_know_one_model", lambda settings: False)
    held.clear()
    having = run_local(settings)

    assert all(held)
    assert np.array_equal(without.model.weights_P, having.model.weights_P)
    for table in ("rounds", "clients", "chunks", "ledger"):
        assert without_times(without.rows(table)) == without_times(having.rows(table)), table


@pytest.mark.parametrize(
    "rules",
    [
        {"transport": "tcp"},
        {"catch_up": "approximate", "initial_model": "seed"},
        {"momentum": 0.9, "momentum_start": "quasi_global"},
        {"chunk_agreement": "consensus"},
    ],
)
def test_where_messages_are_added_to_it_each_holds_its_own(rules, make_settings, run_local, held):
    run_local(make_settings(**{**FEEDBACK, "federated_learning_rounds": 3, **rules}))

    assert held
    assert all(held)


def test_what_was_not_kept_is_nan():
    layout, weights_GP = Layout(7, 3), np.arange(14, dtype=np.float32).reshape(2, 7)
    trained = TrainedGroup(
        weights_GP, np.ones((2, 1), np.float32), np.full((2, 1), 5), None, np.zeros(2), {}, "dense", ""
    )
    old = [ClientState(None, np.zeros(3, np.int32))] * 2
    kept_C = np.array([True, False, True])
    states = with_trained(old, trained, kept_C, layout)

    assert states.weights_MP.tolist() == [[0, 1, 4, 5, 6], [7, 8, 11, 12, 13]]
    model = model_of(states.row(1), layout)
    assert np.array_equal(model.weights_P, np.array([7, 8, np.nan, np.nan, 11, 12, 13], np.float32), equal_nan=True)
    assert (model.buffers_B.tolist(), model.counters_I.tolist()) == ([1.0], [5])
    weights_GP[:] = trained.buffers_GB[:] = -1  # the trainer's memory is used again
    assert states.row(0).model.weights_P.tolist() == [0, 1, 4, 5, 6]
    assert states.row(0).model.buffers_B.tolist() == [1.0]


@given(st.permutations(range(5)), st.integers(1, 5))
def test_vectors_that_lie_together_are_not_copied_and_others_are_gathered(order, count):
    whole_GP = np.arange(20, dtype=np.float32).reshape(5, 4).copy()
    places = order[:count]
    states = stack_states([ClientState(None, np.zeros(1, np.int32), withheld_P=whole_GP[at]) for at in places])

    assert states.withheld_GP.tolist() == whole_GP[places].tolist()
    assert np.shares_memory(states.withheld_GP, whole_GP) == (places == list(range(places[0], places[0] + count)))
