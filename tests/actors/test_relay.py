"""Messages handed on to all: a slow reference of the rule beside real runs, with peers that fail and come back."""

import pickle
from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import cycle, pairwise

import numpy as np
import pytest

from fedchunk.actors.backends.local import LocalClientGroup, LocalFederation, make_client
from fedchunk.orchestrator.chunking.encoding import decode, encode
from fedchunk.orchestrator.chunking.header import Expected, Origin
from fedchunk.orchestrator.chunking.layout import Layout
from fedchunk.orchestrator.contract.messages import COORDINATOR, ModelState
from fedchunk.orchestrator.contract.ports import Lost, Snapshot
from fedchunk.orchestrator.contract.trees import pack, unpack
from fedchunk.orchestrator.core.errors import PeersApart, StatesLost
from fedchunk.orchestrator.methods.exchange_rules.relay import Relay
from fedchunk.orchestrator.methods.method import packing_of
from fedchunk.orchestrator.methods.relaying import tree_edges
from fedchunk.orchestrator.methods.topology import build_topology
from fedchunk.orchestrator.run import load_settings

PEERS = {"federated_learning_schema": "DecentralizedFederatedLearning"}
RELAY = {"chunk_reconstruction": "relay", "chunk_score": "accumulated", "withheld_share": 0.5}
RING = {**PEERS, **RELAY, "federated_learning_topology": "ring"}
COMPLETE = {**RING, "federated_learning_topology": "complete"}
REGULAR = {**RING, "federated_learning_topology": "k_connected", "k_value": 4, "number_of_clients": 8}
LOSSY = {
    "chunk_encoding": "int4", "chunk_compression": "zstd", "aggregation_sample_scaling": True,
    "sensitivity_percentage": 15.0, "relay_step": 1.2,
}  # fmt: skip
MOMENTUM = {"momentum": 0.9, "momentum_start": "quasi_global", "learning_rate": 0.02}
DIGITS = {"dataset_type": "digits", **LOSSY}


@dataclass
class Faults:
    """Fakes of clients that fail, or damage what they send, as a test says; notes what was trained."""

    fails: set = field(default_factory=set)
    """(round, client)"""
    damages: set = field(default_factory=set)
    trained: dict = field(default_factory=dict)
    """(round, client) -> the weights that training began and ended with."""

    def make(self, settings, device, data):
        client = make_client(settings, device, data)
        train, train_relay, ready = client._worker.train, client.train_relay, client._ready

        def noted(round_index, clients, starts, *more):
            result = train(round_index, clients, starts, *more)
            for row, one in enumerate(clients):
                self.trained[round_index, one] = starts[row].weights_P.copy(), result.weights_GP[row].copy()
            return result

        def failing(peer):
            if (peer.order.round_index, peer.order.client_id) in self.fails:
                raise ZeroDivisionError("on purpose")
            return ready(peer)

        def damaging(order, *rest):
            answer, payloads, after = train_relay(order, *rest)
            (result,) = answer.groups
            senders = [report.client_id for report in result.reports.rows()] if result.reports else []
            damaged = (
                payload[:-1] if (order.peers[0].round_index, sender) in self.damages else payload
                for sender, payload in zip(senders, payloads, strict=True)
            )
            return answer, tuple(damaged), after

        client._worker.train, client.train_relay, client._ready = noted, damaging, failing
        return client


class Reference:
    """The rule of relay, peer by peer, with everything that each peer has kept by itself, and its own bill."""

    def __init__(self, settings, first_P, samples):
        self.settings, self.samples = settings, samples
        self.topology = build_topology(settings)
        self.layout = Layout(len(first_P), settings.chunking.chunking_parts)
        clients = range(self.topology.num_clients)
        self.models = dict.fromkeys(clients, first_P)
        self.residuals = {client: np.zeros_like(first_P) for client in clients}
        self.knows = dict.fromkeys(clients, 0)
        self.changed_C = np.zeros(self.layout.num_chunks, int)
        self.bill = Counter()
        self.num_rounds = 0
        self.heard = set()
        """Whose message has counted: later ones need not say again what all know."""

    def play(self, faults):
        self.num_rounds += 1
        at = self.num_rounds
        self.catch_up(at)
        present = [client for client in self.models if (at, client) not in faults.fails]
        sent = {}
        for client in present:
            start_P = self.models[client] + np.float32(0.5) * self.residuals[client]
            before_P, after_P = faults.trained[at, client]
            assert before_P.tobytes() == start_P.tobytes(), f"client {client} began round {at} elsewhere"
            pending_P = self.residuals[client] + (after_P - start_P)
            payload, mask_C, change_P = self.message(at, client, pending_P)
            edges = tree_edges(self.topology, client, present)
            if (at, client) in faults.damages:
                self.bill.update({(at, *edge): len(payload) - 1 for edge in edges if edge[0] == client})
                continue
            self.bill.update({(at, *edge): len(payload) for edge in edges})
            self.heard.add(client)
            self.residuals[client] = pending_P - change_P
            sent[client] = mask_C, change_P
        total_P = np.zeros(self.layout.num_parameters)
        for client, (mask_C, change_P) in sent.items():
            total_P += change_P * np.float64(self.samples[client])
            self.changed_C[mask_C] = at
        mean_P = (total_P / sum(self.samples[client] for client in sent)).astype(np.float32)
        for client in present:
            self.models[client] = self.models[client] + np.float32(self.settings.chunking.relay_step) * mean_P
            self.knows[client] = at

    def message(self, at, client, pending_P):
        """The chunks with the largest norms, encoded, and what all make of the bytes."""
        layout = self.layout
        norms_C = [np.linalg.norm(pending_P[a:b].astype(float)) for a, b in pairwise(layout.bounds)]
        count = int(np.ceil(layout.num_chunks * self.settings.chunking.sensitivity_percentage / 100))
        mask_C = np.zeros(layout.num_chunks, bool)
        mask_C[np.argsort(-np.array(norms_C), kind="stable")[:count]] = True
        stands = client in self.heard
        payload = encode(
            layout, pending_P, mask_C, round_index=at, sender=client, num_samples=self.samples[client],
            buffers=(np.empty(0, np.float32), np.empty(0, np.int64)), packing=packing_of(self.settings), is_change=True,
        ).over(stands=stands).payload  # fmt: skip
        change_P = np.zeros_like(pending_P)
        expected = Expected(Origin(at, client, self.samples[client]), stands)
        layout.add(decode(payload, layout, expected, 0, 0).values, mask_C, change_P)
        return payload, mask_C, change_P

    def catch_up(self, at):
        """Who was away takes the chunks that changed meanwhile; billed on whatever edges it came along."""
        newest = max(self.knows.values())
        holder = next(client for client, known in self.knows.items() if known == newest)
        for client, known in self.knows.items():
            if known < newest:
                mask_C = self.changed_C > known
                stands = holder in self.heard
                encoded = encode(
                    self.layout, self.models[holder], mask_C, round_index=newest, sender=holder, num_samples=0,
                    buffers=(np.empty(0, np.float32), np.empty(0, np.int64)),
                ).over(stands=stands)  # fmt: skip
                expected = Expected(Origin(newest, holder, 0), stands)
                values = decode(encoded.payload, self.layout, expected, 0, 0).values
                model_P = self.models[client].copy()
                self.layout.paste(values, mask_C, model_P)
                self.models[client] = model_P
                hops = min(len(way) for way in self.ways(client, newest))
                self.bill["missed", at, client] = hops * len(encoded.payload)

    def ways(self, client, newest):
        """A shortest way to each that knows the newest model."""
        parents = {child: parent for parent, child in tree_edges(self.topology, client, range(len(self.models)))}
        for holder, known in self.knows.items():
            if known == newest:
                way = []
                while holder in parents:
                    way.append(holder)
                    holder = parents[holder]
                yield way


def compare(settings, faults, run):
    """Plays the reference through the same faults; its model and bytes must be the run's."""
    (first_P, _) = faults.trained[1, min(client for index, client in faults.trained if index == 1)]
    samples = {row["client"]: row["samples"] for row in run.rows("clients")}
    reference = Reference(settings, first_P, samples)
    for _ in run.results:
        reference.play(faults)
    assert run.model.weights_P.tobytes() == reference.models[0].tobytes()
    billed = Counter()
    for row in run.rows("ledger"):
        billed[row["round"], row["sender"], row["receiver"]] += row["bytes"]
    expected = {key: count for key, count in reference.bill.items() if key[0] != "missed"}
    missed = {key: count for key, count in reference.bill.items() if key[0] == "missed"}
    assert sum(billed.values()) == sum(expected.values()) + sum(missed.values())
    late = {at for _, at, _ in missed}
    assert {key: count for key, count in billed.items() if key[0] not in late} == {
        key: count for key, count in expected.items() if key[0] not in late
    }
    return reference, missed


@pytest.mark.parametrize(
    "rules",
    [
        {**REGULAR, **DIGITS},
        {**COMPLETE, **DIGITS, "relay_step": 1.0},
        {**RING, **DIGITS, "chunk_encoding": "float16", "sensitivity_percentage": 40.0},
    ],
)
def test_a_run_is_the_formula(make_settings, run_local, rules):
    settings, faults = make_settings(**rules), Faults()
    run = run_local(settings, faults.make)
    compare(settings, faults, run)
    last = run.rows("rounds")[-1]
    assert last["accuracy"] == last["client_accuracy_max"] == last["client_accuracy_min"]
    assert last["consensus_distance"] == 0


FAULTS = {
    "one is away": {"fails": {(2, 3)}},
    "one is away for long": {"fails": {(1, 3), (2, 3), (3, 3)}},
    "one comes back and fails again": {"fails": {(2, 3), (3, 3), (5, 3)}},
    "neighbours are away": {"fails": {(2, 3), (2, 4), (3, 4)}},
    "two are away in different rounds": {"fails": {(1, 0), (2, 5)}},
    "one sends rubbish": {"damages": {(1, 2), (2, 2)}},
    "rubbish while others are away": {"damages": {(3, 2)}, "fails": {(2, 2), (3, 1)}},
}


PLACES = list(zip(FAULTS, cycle([REGULAR, {**RING, "number_of_clients": 6}]), strict=False))


@pytest.mark.parametrize(("name", "rules"), PLACES, ids=FAULTS)
def test_with_peers_that_fail_a_run_is_still_the_formula(make_settings, run_local, name, rules):
    settings, faults = make_settings(**{**rules, **LOSSY, "federated_learning_rounds": 5}), Faults(**FAULTS[name])
    run = run_local(settings, faults.make)
    assert run.summary.status == "finished", run.summary.error
    reference, missed = compare(settings, faults, run)
    assert bool(missed) == any(index < 5 for index, _ in faults.fails)
    status = {(row["round"], row["client"]): row["status"] for row in run.rows("clients")}
    assert {at for at, word in status.items() if word == "failed"} == faults.fails
    assert {at for at, word in status.items() if word == "rejected"} == faults.damages
    away = {client for index, client in faults.fails if index == 5}
    assert {client for client, known in reference.knows.items() if known < 5} == away


def test_what_a_peer_missed_comes_over_as_many_hops_as_it_takes(make_settings, run_local):
    """In a ring of seven peers 2, 3 and 4 are away: of what 3 missed there is nothing at its neighbours."""
    settings = make_settings(**RING, number_of_clients=7, chunking_parts=4)
    run = run_local(settings, Faults(fails={(1, 2), (1, 3), (1, 4)}).make)
    values = Counter()
    for row in run.rows("ledger"):
        if row["kind"] == "values":
            values[row["round"], row["sender"], row["receiver"]] += row["bytes"]
    edges = {key[1:] for key in values if key[0] == 3}
    missed = {edge: values[2, *edge] - values[3, *edge] for edge in edges if values[2, *edge] != values[3, *edge]}
    assert missed.keys() == {(1, 2), (2, 3), (5, 4)}
    assert missed[1, 2] == 2 * missed[2, 3] == 2 * missed[5, 4]


def test_momentum_counts_the_rounds_in_which_a_peer_did_not_count(make_settings, run_local):
    """Peer 3 fails in round 2, what peer 1 sends in it is no message: in round 3 both divide by two rounds."""
    settings, states = make_settings(**RING, **MOMENTUM, local_steps=2), {}
    faults = Faults(fails={(2, 3)}, damages={(2, 1)})

    def make(settings, device, data):
        client = faults.make(settings, device, data)
        train = client.train_relay

        def watched(order, *rest):
            answer, payloads, after = train(order, *rest)
            for row, report in enumerate(answer.groups[0].reports.rows() if answer.groups[0].reports else ()):
                states[order.peers[0].round_index, report.client_id] = after[0].row(row)
            return answer, payloads, after

        client.train_relay = watched
        return client

    run = run_local(settings, make)
    assert run.summary.status == "finished"
    for client in range(settings.federation.number_of_clients):
        last = 1 if client in (1, 3) else 2
        before, after = states[last, client], states[3, client]
        assert after.began_P.tobytes() == states[3, 0].began_P.tobytes(), "all follow the model that they share"
        assert (before.momentum_P == 0).all() == (last == 1)
        steps = np.float32(settings.training.learning_rate * 2 * (3 - last))
        expected_P = 0.9 * before.momentum_P + (1 - 0.9) * (before.began_P - after.began_P) / steps
        assert np.abs(expected_P).max() > 0
        np.testing.assert_allclose(after.momentum_P, expected_P, rtol=1e-3, atol=1e-6)


def test_a_graph_that_falls_apart_is_said_with_its_parts(make_settings, run_local):
    faults = Faults(fails={(2, 1), (2, 4)})
    run = run_local(make_settings(**RING, number_of_clients=6), faults.make)
    assert run.summary.status == "failed"
    assert run.summary.rounds_completed == 1
    assert "round 2 failed" in run.summary.error
    assert "fall into 2 parts (0, 5; 2, 3)" in run.summary.error
    assert "clients 1, 4: train: ZeroDivisionError: on purpose" in run.summary.error
    assert run.summary.weights_sha256 is not None, "the model of the round before is there"


def test_too_few_that_count_end_the_run(make_settings, run_local):
    faults = Faults(damages={(1, client) for client in range(5)})
    run = run_local(make_settings(**RING), faults.make)
    assert run.summary.status == "failed"
    assert "checksum" in run.summary.error


def test_parts_survive_the_way_between_processes():
    error = PeersApart(3, [[0, 5], [2]], {1: "late"})
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


@pytest.mark.parametrize("momentum", [{}, MOMENTUM])
def test_in_a_complete_graph_the_model_is_that_of_a_star_whose_downlink_loses_nothing(
    make_settings, run_local, momentum
):
    alone = {"clients_per_group": 1}  # groups of a star are added up first
    rules = {**RELAY, "sensitivity_percentage": 20.0, "number_of_clients": 6, **momentum, **alone}
    peers = run_local(make_settings(**{**COMPLETE, **rules}))
    star = run_local(make_settings(**{**rules, "chunk_reconstruction": "error_feedback"}))
    assert peers.summary.weights_sha256 == star.summary.weights_sha256
    assert peers.summary.uplink_bytes == peers.summary.downlink_bytes == 5 * star.summary.uplink_bytes
    assert [row["accuracy"] for row in peers.rows("rounds")] == [row["accuracy"] for row in star.rows("rounds")]


@pytest.mark.parametrize("rules", [{}, {**LOSSY, **MOMENTUM}])
def test_actors_and_order_change_nothing(make_settings, run_local, shuffled_group, without_times, rules):
    settings = {**REGULAR, "federated_learning_rounds": 6, **rules}
    one = run_local(make_settings(number_of_actors=1, **settings))
    shuffled_group(np.random.default_rng(3))
    three = run_local(make_settings(number_of_actors=3, **settings))
    assert one.summary.weights_sha256 == three.summary.weights_sha256
    for table in ("rounds", "clients", "chunks", "ledger"):
        assert without_times(one.rows(table)) == without_times(three.rows(table))


def test_every_hop_is_on_an_edge_and_a_round_costs_n_times_n_less_one_messages(make_settings, run_local):
    settings = make_settings(**REGULAR, chunking_parts=4)
    run = run_local(settings)
    topology = build_topology(settings)
    edges = {(one, other) for one, others in enumerate(topology.neighbours) for other in others}
    for index in (1, 2, 3):
        rows = [row for row in run.rows("ledger") if row["round"] == index]
        assert {(row["sender"], row["receiver"]) for row in rows} <= edges
        assert COORDINATOR not in {row["sender"] for row in rows}
        keys = [(row["sender"], row["receiver"], row["kind"]) for row in rows]
        assert len(keys) == len(set(keys)), "a link has one row for each kind"
        (summary,) = [row for row in run.rows("rounds") if row["round"] == index]
        message = sum(row["bytes"] for row in rows) / (8 * 7)
        assert summary["uplink_bytes"] == summary["downlink_bytes"] == 8 * 7 * message
        assert message == int(message)
        received = Counter()
        for row in rows:
            received[row["receiver"]] += row["bytes"]
        assert set(received.values()) == {7 * message}, "everybody gets each message of the others once"


def test_robust_aggregation_and_buffers_work_on_what_all_have(make_settings, run_local):
    run = run_local(make_settings(**COMPLETE, aggregation_strategy="median"))
    assert run.summary.status == "finished"
    data = {"synthetic_size": 32, "synthetic_samples": 12, "synthetic_test_samples": 2, "number_of_clients": 3}
    few = {"federated_learning_rounds": 1, "local_steps": 1, "train_batch_size": 2, "data_distribution_kind": "iid"}
    deep = run_local(make_settings(**RING, model_type="resnet18", **data, **few))
    assert deep.summary.status == "finished"
    assert deep.model.counters_I.min() > 0
    buffers = 4 * deep.spec.num_float_buffers + 8 * deep.spec.num_integer_buffers
    assert sum(row["bytes"] for row in deep.rows("ledger") if row["kind"] == "buffers") == 3 * 2 * buffers


def test_an_update_far_larger_than_the_others_reaches_all_and_is_left_out_by_all(make_settings, run_local):
    def make(settings, device, data):
        client = make_client(settings, device, data)
        train = client._worker.train

        def grown(round_index, clients, starts, *more):
            trained = train(round_index, clients, starts, *more)
            if round_index == 2 and 3 in clients:
                own_P, start_P = trained.weights_GP[clients.index(3)], starts[clients.index(3)].weights_P
                own_P[:] = start_P + 1000 * (own_P - start_P)
            return trained

        client._worker.train = grown
        return client

    run = run_local(make_settings(**RING, chunking_parts=4), make)
    assert [(row["round"], row["client"]) for row in run.rows("clients") if row["status"] == "rejected"] == [(2, 3)]
    assert run.rows("rounds")[-1]["accuracy"] > 0.3
    crossed = [row["bytes"] for row in run.rows("ledger") if row["kind"] == "rejected"]
    assert len(crossed) == 4, "to each of the others, hop by hop"
    assert len(set(crossed)) == 1


def test_a_rule_of_the_users_own_may_hand_messages_on(make_settings, run_local):
    class Halved(Relay):
        """As relay, but the shared model goes half of each way."""

        def shared_after(self, shared, total):
            after = super().shared_after(shared, total)
            return replace(after, weights_P=(shared.weights_P + after.weights_P) / np.float32(2))

    def halved(relay_step):
        return Halved(0.5, relay_step)

    flat = make_settings(**{**RING, "withheld_share": 0.0}, relay_step=1.2).flat()
    theirs = run_local(load_settings(flat, chunk_reconstruction=halved))
    ours = run_local(make_settings(**RING, relay_step=0.6))
    np.testing.assert_allclose(theirs.model.weights_P, ours.model.weights_P, rtol=1e-4, atol=1e-6)
    assert theirs.summary.uplink_bytes == ours.summary.uplink_bytes


class Kept:
    """A state as a checkpoint has it."""

    def __init__(self, key, value):
        self.key, self._packed = key, pack(value)

    def load(self):
        return unpack(*self._packed)


@pytest.mark.parametrize("momentum", [{}, MOMENTUM])
def test_a_federation_with_a_peer_that_is_away_goes_on_from_a_snapshot(make_settings, observer, momentum):
    settings = make_settings(**REGULAR, federated_learning_rounds=5, **momentum)
    faults = Faults(fails={(2, 3), (3, 3), (2, 6)})

    def rest(federation, first):
        rounds = [federation.run_round(index, observer) for index in range(first, 6)]
        rows = [row for one in rounds for row in one.tables["ledger"].to_pylist()]
        return rows, federation.final_model().weights_P.tobytes()

    with LocalFederation(settings, observer, faults.make) as federation:
        for index in (1, 2, 3):
            federation.run_round(index, observer)
        snapshot = federation.snapshot(3)
        values = unpack(*pack(snapshot.coordinator))
        kept = Snapshot(3, values, [Kept(one.key, one.load()) for one in snapshot.objects])
        whole = rest(federation, 4)
    models = [one.load() for one in snapshot.objects if isinstance(one.load(), ModelState)]
    assert len(models) == 2, "the newest, and the one that peer 3 knows; nobody needs the others"
    with LocalFederation(settings, observer, faults.make) as federation:
        federation.restore(kept)
        assert rest(federation, 4) == whole


@pytest.mark.parametrize("method", ["changed_since", "train_relay", "add_messages", "evaluate"])
@pytest.mark.parametrize("gone", [False, True], ids=["with its actor", "with a node"])
def test_what_is_lost_is_asked_again_or_sends_the_run_back(
    make_settings, run_local, observer, monkeypatch, method, gone
):
    settings, faults = make_settings(**RING, federated_learning_rounds=3), Faults(fails={(2, 3)})
    whole = run_local(settings, faults.make)
    original, left = LocalClientGroup.next_outcome, [1]

    def lose_one(group):
        if left and group._queue[0].method == method and federation._last_round is None and at == 3:
            left.pop()
            return Lost(group._queue.popleft(), "on purpose", arguments_lost=gone)
        return original(group)

    monkeypatch.setattr(LocalClientGroup, "next_outcome", lose_one)
    with LocalFederation(settings, observer, faults.make) as federation:
        for at in (1, 2):
            federation.run_round(at, observer)
        snapshot, at = federation.snapshot(2), 3
        if gone:
            with pytest.raises(StatesLost) as caught:
                federation.run_round(3, observer)
            assert caught.value.clients == {"changed_since": (3,), "train_relay": (0,)}.get(method, (0, 1, 2, 3, 4))
            federation.restore(snapshot)
        result = federation.run_round(3, observer)
        assert not left
        assert result.tables["ledger"].equals(whole.results[2].tables["ledger"])
        assert federation.final_model().weights_P.tobytes() == whole.model.weights_P.tobytes()


@pytest.mark.parametrize("size", [1, 3, 8])
def test_groups_are_a_call_each_and_a_run_is_the_formula_with_any_of_them(make_settings, run_local, monkeypatch, size):
    original, calls = LocalClientGroup.submit, []

    def submit(group, call):
        if call.method == "train_relay":
            calls.append([peer.client_id for peer in call.arguments[0].peers])
        original(group, call)

    monkeypatch.setattr(LocalClientGroup, "submit", submit)
    settings, faults = make_settings(**REGULAR, **LOSSY, clients_per_group=size), Faults(fails={(1, 2)})
    compare(settings, faults, run_local(settings, faults.make))
    everybody = list(range(8))
    assert [client for group in calls[: -(-8 // size)] for client in group] == everybody
    assert max(map(len, calls)) == size
    assert [2] in calls, "what it missed is for it alone"
    assert sorted(client for group in calls for client in group) == sorted(everybody * 3)


def test_a_peer_that_takes_its_actor_with_it_is_left_out_of_its_group(make_settings, run_local, monkeypatch):
    """The others of the group play the round; it fails alone, and hears of the round in the next."""
    original = LocalClientGroup.next_outcome

    def lose(group):
        call = group._queue[0]
        if call.method == "train_relay" and any(
            (peer.round_index, peer.client_id) == (2, 3) for peer in call.arguments[0].peers
        ):
            return Lost(group._queue.popleft(), "the actor died", arguments_lost=False)
        return original(group)

    monkeypatch.setattr(LocalClientGroup, "next_outcome", lose)
    settings, faults = make_settings(**REGULAR, **LOSSY, clients_per_group=4), Faults()
    run = run_local(settings, faults.make)
    failed = [row for row in run.rows("clients") if row["status"] != "ok"]
    assert [(row["round"], row["client"]) for row in failed] == [(2, 3)]
    assert "asked alone" in failed[0]["reason"]
    faults.fails.add((2, 3))
    compare(settings, faults, run)


def test_models_and_messages_never_pass_through_the_coordinator(make_settings, run_local, monkeypatch):
    original, seen = LocalClientGroup.next_outcome, Counter()

    def weigh(group):
        outcome = original(group)
        assert len(pickle.dumps(outcome.values)) < 10_000 or outcome.call.method in ("initial_model", "shared_model")
        seen[outcome.call.method] += 1
        return outcome

    monkeypatch.setattr(LocalClientGroup, "next_outcome", weigh)
    settings = make_settings(**RING, dataset_type="digits", chunking_parts=20)
    run_local(settings)
    assert seen["train_relay"] == 3 * 4, "five peers in four groups"
    assert seen["add_messages"] == 3, "one actor adds for all"
    assert seen["shared_model"] == 1
