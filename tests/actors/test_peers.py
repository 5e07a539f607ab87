"""Peer to peer: who hears whom, what each edge costs, and what all come to agree on."""

import numpy as np
import pytest

from fedchunk.actors.backends.local import LocalClientGroup, LocalFederation, make_client
from fedchunk.orchestrator.chunking.layout import Layout
from fedchunk.orchestrator.contract.messages import COORDINATOR
from fedchunk.orchestrator.core.errors import PayloadError
from fedchunk.orchestrator.experiment import run_experiment
from fedchunk.orchestrator.methods.topology import build_topology, metropolis_weights

RING = {"federated_learning_schema": "DecentralizedFederatedLearning", "federated_learning_topology": "ring"}
COMPLETE = {**RING, "federated_learning_topology": "complete"}
REGULAR = {**RING, "federated_learning_topology": "k_connected", "k_value": 4, "number_of_clients": 8}
COPIES = {"chunk_reconstruction": "stale_copies", "chunk_score": "accumulated"}


def test_everybody_hearing_everything_is_plain_federated_averaging(make_settings, run_local):
    alone = {"clients_per_group": 1}  # groups of a star are added up first
    peers = run_local(make_settings(chunking=False, **COMPLETE, **alone))
    all_chunks = run_local(make_settings(sensitivity_percentage=100.0, **COMPLETE, **alone))
    star = run_local(make_settings(chunking=False, **alone))
    assert peers.summary.weights_sha256 == star.summary.weights_sha256 == all_chunks.summary.weights_sha256
    assert all(row["consensus_distance"] == 0 for row in peers.rows("rounds"))


@pytest.mark.parametrize("rules", [{"chunk_reconstruction": "own_weights"}, {**COPIES, "stale_copy_step": 1.0}])
def test_every_rule_is_dense_averaging_when_everybody_hears_everything(make_settings, run_local, rules):
    peers = run_local(make_settings(sensitivity_percentage=100.0, **COMPLETE, **rules))
    star = run_local(make_settings(chunking=False))
    np.testing.assert_allclose(peers.model.weights_P, star.model.weights_P, rtol=1e-4, atol=1e-6)


def test_nobody_is_handed_a_payload_of_somebody_else_than_a_neighbour(make_settings, run_local, monkeypatch):
    settings = make_settings(**REGULAR)
    topology = build_topology(settings)
    heard = []
    run = LocalClientGroup.next_outcome

    def watch(group):
        call = group._queue[0]
        if call.method == "mix_peers":
            order, *objects = call.arguments
            mine = [[objects[place] for place in at.payloads] for at in order.objects]
            heard.extend((peer.train.client_id, peer.senders, its) for peer, its in zip(order.peers, mine, strict=True))
        return run(group)

    monkeypatch.setattr(LocalClientGroup, "next_outcome", watch)
    run_local(settings)
    assert len(heard) == 3 * 8
    sent = {}
    for turn, (client, senders, payloads) in enumerate(heard):
        assert set(senders) == {client, *topology.neighbours[client]}
        for sender, payload in zip(senders, payloads, strict=True):
            assert sent.setdefault((turn // 8, sender), payload) is payload, "all are handed the same"
    assert len({id(payload) for payload in sent.values()}) == len(sent) == 3 * 8, "and of each another"


@pytest.mark.parametrize("rules", [RING, REGULAR, {**REGULAR, **COPIES, "chunk_encoding": "int8"}])
def test_every_edge_is_billed_in_both_directions(make_settings, run_local, rules):
    settings = make_settings(**rules)
    run = run_local(settings)
    topology = build_topology(settings)
    edges = {(one, other) for one, others in enumerate(topology.neighbours) for other in others}
    for index in (1, 2, 3):
        rows = [row for row in run.rows("ledger") if row["round"] == index]
        assert {(row["sender"], row["receiver"]) for row in rows} == edges
        assert COORDINATOR not in {row["sender"] for row in rows} | {row["receiver"] for row in rows}
        (summary,) = [row for row in run.rows("rounds") if row["round"] == index]
        assert summary["uplink_bytes"] == summary["downlink_bytes"] == sum(row["bytes"] for row in rows)
    for row in run.rows("clients"):
        mine = [entry for entry in run.rows("ledger") if entry["round"] == row["round"]]
        assert row["uplink_bytes"] == sum(e["bytes"] for e in mine if e["sender"] == row["client"])
        assert row["downlink_bytes"] == sum(e["bytes"] for e in mine if e["receiver"] == row["client"])


def test_full_exchange_costs_what_it_is_said_to_cost(make_settings, run_local):
    run = run_local(make_settings(chunking=False, **REGULAR))
    assert run.summary.uplink_bytes == run.summary.dense_uplink_bytes
    assert run.summary.dense_uplink_bytes == 8 * 4 * (24 + 3 * (8 + 4 * run.spec.num_parameters))


@pytest.mark.parametrize(
    "rules",
    [
        {},
        {"chunk_reconstruction": "own_weights"},
        {"chunk_score": "accumulated", "chunk_age_exponent": 1.0},
        COPIES,
        {**COPIES, "chunk_encoding": "int4"},
    ],
)
def test_peers_learn_and_actors_and_order_change_nothing(
    make_settings, run_local, shuffled_group, without_times, rules
):
    settings = {**REGULAR, "federated_learning_rounds": 12, "sensitivity_percentage": 40.0, **rules}
    one = run_local(make_settings(number_of_actors=1, **settings))
    shuffled_group(np.random.default_rng(3))
    two = run_local(make_settings(number_of_actors=3, **settings))
    assert one.summary.weights_sha256 == two.summary.weights_sha256
    for table in ("rounds", "clients", "chunks", "ledger"):
        assert without_times(one.rows(table)) == without_times(two.rows(table))
    last = one.rows("rounds")[-1]
    assert last["accuracy"] is None
    assert last["client_accuracy_min"] <= last["client_accuracy_mean"] <= last["client_accuracy_max"]
    assert last["client_accuracy_mean"] > 0.6
    assert last["consensus_distance"] > 0


@pytest.mark.parametrize("step", ["auto", 0.5])
def test_stale_copies_agree_whoever_fails_and_whatever_is_refused(make_settings, run_local, step):
    """s and z of every peer are what the messages add up to that were sent and could be read, in every round.

    Peer 2 cannot train in rounds 1 and 3, what peer 5 sends in rounds 2 and 3 is refused: it keeps that, and sends it
    when it may.
    """
    settings = make_settings(
        chunk_encoding="int4", sensitivity_percentage=60.0, stale_copy_step=step, federated_learning_rounds=5,
        withheld_share=0.5, **REGULAR, **COPIES,
    )  # fmt: skip
    topology = build_topology(settings)
    states, sent, first = {}, {}, {}

    def make(settings, device, data):
        client = make_client(settings, device, data)
        ready, mix, update = client._ready, client._mix, client._worker.verifier.update
        first["P"] = client.initial_model().state.weights_P.astype(np.float64)

        def failing(peer):
            if peer.order.client_id == 2 and peer.order.round_index in (1, 3):
                raise ZeroDivisionError("on purpose")
            return ready(peer)

        def refusing(round_index, sender, payload, known_C, *, stands):
            message, largest = update(round_index, sender, payload, known_C, stands=stands)
            if sender == 5 and round_index in (2, 3):
                raise PayloadError("too large")
            sent[round_index, sender] = message
            return message, largest

        def watched(order, state, payloads):
            report, mixed = mix(order, state, payloads)
            states[order.train.round_index, order.train.client_id] = state, mixed
            return report, mixed

        client._ready, client._mix, client._worker.verifier.update = failing, watched, refusing
        return client

    run = run_local(settings, make)
    assert run.summary.status == "finished"
    statuses = {(row["round"], row["client"]): row["status"] for row in run.rows("clients")}
    assert [statuses[index, 2] for index in range(1, 6)] == ["failed", "ok", "failed", "ok", "ok"]
    assert [statuses[index, 5] for index in range(1, 6)] == ["ok", "rejected", "rejected", "ok", "ok"]
    layout, gamma = Layout(run.spec.num_parameters, 20), settings.chunking.copy_step
    c_NP = np.tile(first["P"], (8, 1))
    for index in range(1, 6):
        for client in range(8):
            if (index, client) in sent:
                message = sent[index, client]
                layout.add(message.values.astype(np.float64), message.mask_C, c_NP[client])
        for client, weights in enumerate(metropolis_weights(topology)):
            before, mixed = states[index, client]
            pull_P = sum(
                w * (c_NP[j] - c_NP[client]) for w, j in zip(weights, topology.neighbours[client], strict=True)
            )
            np.testing.assert_allclose(mixed.copies[0], pull_P, rtol=1e-4, atol=1e-6)
            np.testing.assert_allclose(mixed.model.weights_P, c_NP[client] + gamma * pull_P, rtol=1e-4, atol=1e-6)
            if (index, client) not in sent and before is not None:  # what nobody heard is still to be sent
                assert np.array_equal(mixed.withheld_P, before.withheld_P)
    assert {row["receiver"] for row in run.rows("ledger") if row["round"] == 1} == set(range(8)), "all hear"
    headers = {(row["round"], row["sender"], row["bytes"]) for row in run.rows("ledger") if row["kind"] == "header"}
    first = {client: 2 if client == 2 else 1 for client in range(8)}
    assert headers == {
        (index, client, 32 if index == first[client] else 8) for index, client in [*sent, (2, 5), (3, 5)]
    }, "who has only heard sets up its connections when it first sends"


def test_a_peer_that_cannot_hear_its_neighbours_fails_the_run_where_changes_add_up(make_settings, run_local):
    """It would never learn what it missed; other rules take values, of which the next are as good."""

    def make(settings, device, data):
        client = make_client(settings, device, data)
        mix = client._mix

        def deaf(order, state, payloads):
            if order.train.client_id == 3 and order.train.round_index == 2:
                raise ZeroDivisionError("on purpose")
            return mix(order, state, payloads)

        client._mix = deaf
        return client

    run = run_local(make_settings(**REGULAR, **COPIES), make)
    assert (run.summary.status, run.summary.rounds_completed) == ("failed", 1)
    assert "round 2 failed: 7 clients finished, 8 are needed" in run.summary.error
    assert "client 3: " in run.summary.error
    assert "on purpose" in run.summary.error
    assert run_local(make_settings(**REGULAR), make).summary.status == "finished"


def test_a_payload_that_is_refused_is_refused_by_all_and_the_run_lives(make_settings, run_local):
    def make(settings, device, data):
        client = make_client(settings, device, data)
        train = client.train_peers

        def damaged(order, *states):
            report, *sent = train(order, *states)
            for place, peer in enumerate(order.peers):
                if peer.client_id == 2:
                    sent[place] = sent[place][:-1]
            return report, *sent

        client.train_peers = damaged
        return client

    for rules in (REGULAR, {**REGULAR, **COPIES}):
        run = run_local(make_settings(**rules), make)
        assert run.summary.status == "finished"
        assert [row["client"] for row in run.rows("clients") if row["status"] == "rejected"] == [2, 2, 2]
        assert all("client 2: checksum" in result.problems[0] for result in run.results)


def test_a_peer_that_fails_is_not_heard_and_comes_back(make_settings, run_local):
    def make(settings, device, data):
        client = make_client(settings, device, data)
        ready = client._ready

        def sometimes(peer):
            if peer.order.client_id == 3 and peer.order.round_index == 2:
                raise ZeroDivisionError("on purpose")
            return ready(peer)

        client._ready = sometimes
        return client

    run = run_local(make_settings(**REGULAR), make)
    assert [row["status"] for row in run.rows("clients") if row["client"] == 3] == ["ok", "failed", "ok"]
    assert not [row for row in run.rows("ledger") if row["round"] == 2 and row["sender"] == 3]


@pytest.mark.parametrize(
    "rules", [{}, COPIES, {**COPIES, "chunk_encoding": "int4"}, {"momentum_start": "quasi_global"}]
)
def test_peers_of_a_group_are_trained_at_once_or_one_by_one_alike(make_settings, run_local, rules):
    """Groups, unlike actors, may change the last bits of a sum of products; who sends what must not hang on that."""
    settings = {**REGULAR, "chunk_score": "round_robin", "momentum": 0.9, **rules, "number_of_actors": 2}
    runs = [
        run_local(make_settings(**settings, clients_per_group=size, vectorize_clients=at_once))
        for size, at_once in ((1, "off"), (3, "off"), (8, "on"))
    ]
    assert [{row["training"].partition(":")[0] for row in run.rows("clients")} for run in runs] == [
        {"one by one"}, {"one by one"}, {"at once"},
    ]  # fmt: skip
    assert runs[0].summary.weights_sha256 == runs[1].summary.weights_sha256, "a call for several changes nothing"
    np.testing.assert_allclose(runs[0].model.weights_P, runs[2].model.weights_P, rtol=1e-3, atol=1e-5)
    assert runs[0].rows("ledger") == runs[1].rows("ledger")


def test_of_a_call_to_mix_that_fails_each_peer_is_asked_by_itself_and_billed_once(make_settings, run_local):
    def make(settings, device, data):
        client = make_client(settings, device, data)
        mix = client.mix_peers

        def only_alone(order, *objects):
            if len(order.peers) > 1 and any(peer.train.client_id == 3 for peer in order.peers):
                raise MemoryError("too many at once")
            return mix(order, *objects)

        client.mix_peers = only_alone
        return client

    settings = make_settings(**REGULAR, clients_per_group=4)
    usual, alone = run_local(settings), run_local(settings, make)
    assert alone.summary.status == "finished"
    assert alone.summary.weights_sha256 == usual.summary.weights_sha256
    assert alone.rows("ledger") == usual.rows("ledger")


def test_a_run_of_peers_stops_at_the_accuracy_asked_for(make_settings, run_local):
    rows = run_local(make_settings(federated_learning_rounds=40, stop_avg_accuracy=0.5, **RING)).rows("rounds")
    assert len(rows) < 40
    assert rows[-1]["client_accuracy_mean"] >= 0.5


def test_an_interrupted_round_of_peers_leaves_a_model_of_those_before(make_settings):
    class Impatient:
        def stage(self, name):
            pass

        def clients_done(self, round_index, done, cohort):
            if (round_index, done) == (2, 3):
                raise KeyboardInterrupt

        def round_done(self, result):
            pass

    settings = make_settings(**REGULAR, clients_per_group=1)
    with LocalFederation(settings, Impatient()) as federation:
        summary = run_experiment(federation, settings.federation, [], Impatient())
    assert (summary.status, summary.rounds_completed) == ("interrupted", 1)
    assert len(summary.weights_sha256) == 64


def test_batch_norm_models_mix_their_buffers(make_settings, run_local):
    data = {"synthetic_size": 32, "synthetic_samples": 60, "synthetic_test_samples": 8, "number_of_clients": 3}
    few = {"federated_learning_rounds": 1, "learning_rate": 0.01, "data_distribution_kind": "iid"}
    run = run_local(make_settings(model_type="resnet18", **data, **few, **RING))
    assert run.summary.status == "finished"
    assert run.model.counters_I.min() > 0
    assert [row["bytes"] for row in run.rows("ledger") if row["kind"] == "buffers"] == [
        4 * run.spec.num_float_buffers + 8 * run.spec.num_integer_buffers
    ] * 6
