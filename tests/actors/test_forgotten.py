"""States in which everything was replaced are forgotten: they go with no call, and nothing changes by it."""

import numpy as np
import pytest

from fedchunk.actors.client.star import StarClient
from fedchunk.orchestrator.contract.messages import KnownToAll
from fedchunk.orchestrator.methods import method

RARE = {
    "number_of_clients": 10, "client_sampling_rate": 0.4, "federated_learning_rounds": 14, "clients_per_group": 2,
    "chunk_score": "random",
}  # fmt: skip


def watched(orders):
    """Client actors that note what each client comes with: its order's row of everything."""

    class Watched(StarClient):
        def train_group(self, order, messages, *states):
            changed_C = messages.changed_C if isinstance(messages, KnownToAll) else None
            clients = [client for group in order.groups for client in group]
            for number, client in enumerate(clients):
                last_sent_KC = order.last_sent_KC
                orders[order.round_index, client] = {
                    "state": order.states[number], "last_round": order.last_rounds[number],
                    "known_round": order.known_rounds[number], "changed_C": changed_C,
                    "last_sent_C": None if last_sent_KC is None else last_sent_KC[number],
                }  # fmt: skip
            used = {at.argument for at in order.states if at is not None}
            assert used == set(range(len(states))), "objects that no client of the call needs"
            return super().train_group(order, messages, *states)

    return lambda settings, device, data: Watched(settings, device, data)


@pytest.mark.parametrize(
    "rules",
    [
        {},
        {"chunk_score": "gradient", "chunk_max_age": 2},
        {"chunk_encoding": "int8"},
        {"transport": "tcp"},
        {"evaluate_clients": True, "evaluation_interval": 3},
        {"server_optimizer": "adam", "server_learning_rate": 0.01},
        {"initial_model": "seed", "chunk_age_exponent": 1.0, "clients_per_group": 1},
        {"max_update_ratio": 1.05, "learning_rate": 0.3},
        {"dynamic_sensitivity_percentage": True},
    ],
    ids=str,
)
def test_a_run_that_forgets_is_the_run_that_keeps_everything(
    rules, make_settings, run_local, without_times, monkeypatch
):
    forgetting, keeping = {}, {}
    settings = make_settings(**{**RARE, **rules})
    forgot = run_local(settings, watched(forgetting))
    monkeypatch.setattr(method, "MOST_NOTED", 0)
    kept = run_local(settings, watched(keeping))

    came_again = [key for key, order in keeping.items() if order["last_round"]]
    assert forgetting.keys() == keeping.keys()
    assert all(keeping[key]["state"] is not None for key in came_again)
    without = [key for key in came_again if forgetting[key]["state"] is None]
    assert len(without) > 8, "hardly anything was forgotten"
    assert forgot.summary.status == "finished"
    rejected = [row for row in forgot.rows("clients") if row["status"] == "rejected"]
    assert bool(rejected) == ("max_update_ratio" in rules), "clients are asked again where some are far off"
    assert np.array_equal(forgot.model.weights_P, kept.model.weights_P)
    for table in ("rounds", "clients", "chunks", "ledger"):
        assert without_times(forgot.rows(table)) == without_times(kept.rows(table)), table


def test_what_is_forgotten_is_what_has_no_chunk_left_and_the_coordinator_knows_when_each_was_sent(
    make_settings, run_local
):
    orders = {}
    run = run_local(make_settings(**RARE), watched(orders))
    sent = {}
    for row in run.rows("chunks"):
        if row["selected"]:
            sent.setdefault(row["client"], []).append((row["round"], row["chunk"]))

    forgotten = 0
    for (round_index, client), order in orders.items():
        if not order["last_round"]:
            assert order["state"] is None
            continue
        own_C = order["changed_C"] <= order["known_round"]
        assert (order["state"] is None) == (not own_C.any())
        if order["state"] is None:
            expected_C = np.zeros(20, np.int32)
            for earlier, chunk in sent[client]:
                if earlier < round_index:
                    expected_C[chunk] = earlier
            assert np.array_equal(order["last_sent_C"], expected_C)
            forgotten += 1
    assert forgotten > 10


@pytest.mark.parametrize(
    "rules",
    [
        {"chunk_reconstruction": "own_weights"},
        {"chunk_reconstruction": "error_feedback"},
        {"chunk_score": "accumulated"},
        {"momentum": 0.9, "momentum_start": "quasi_global", "learning_rate": 0.03},
        {"local_parameters": ["1.*"]},
        {"chunk_agreement": "consensus", "chunk_score": "gradient"},
    ],
    ids=str,
)
def test_states_that_hold_more_are_kept(rules, make_settings, run_local):
    orders = {}
    run_local(make_settings(**{**RARE, "sensitivity_percentage": 80.0, **rules}), watched(orders))
    again = [order for order in orders.values() if order["last_round"]]
    assert again
    assert all(order["state"] is not None and order["last_sent_C"] is None for order in again)
