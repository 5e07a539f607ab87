"""A star whose coordinator is a peer: the same bits as a star's, billed hop by hop along a tree."""

from collections import Counter

import pytest

from fedchunk.actors.backends.local import LocalFederation, make_client
from fedchunk.actors.coordinator.hops import MessageLedger, bill_hops
from fedchunk.actors.coordinator.ledger import Ledger
from fedchunk.orchestrator.contract.messages import COORDINATOR
from fedchunk.orchestrator.contract.ports import Snapshot
from fedchunk.orchestrator.contract.trees import pack, unpack
from fedchunk.orchestrator.core.errors import ClientFailed
from fedchunk.orchestrator.methods.relaying import Tree
from fedchunk.orchestrator.methods.topology import Topology

PEERS = {
    "federated_learning_schema": "DecentralizedFederatedLearning", "federated_learning_topology": "k_connected",
    "k_value": 4, "number_of_clients": 8, "chunk_reconstruction": "relay_tree",
}  # fmt: skip
RING = {**PEERS, "federated_learning_topology": "ring", "k_value": None, "number_of_clients": 7}
BOTH_WAYS = {
    "chunk_score": "accumulated", "withheld_share": 0.5, "downlink_sensitivity_percentage": 20.0,
    "initial_model": "seed", "chunk_encoding": "int4", "chunk_compression": "zstd", "federated_learning_rounds": 5,
}  # fmt: skip


def star_of(rules):
    kept = {key: value for key, value in rules.items() if key not in PEERS}
    return {**kept, "number_of_clients": rules["number_of_clients"], "chunk_reconstruction": "error_feedback"}


def failing(*faults):
    def make(settings, device, data):
        client = make_client(settings, device, data)
        finish = client._finish

        def sometimes(task, *rest):
            if (task.round_index, task.client_id) in faults:
                raise ClientFailed(task.client_id, task.round_index, "train", "on purpose")
            return finish(task, *rest)

        client._finish = sometimes
        return client

    return make


def edges_of(run, round_index):
    """Bytes on each edge in a round."""
    on_edge = Counter()
    for row in run.rows("ledger"):
        if row["round"] == round_index:
            on_edge[row["sender"], row["receiver"]] += row["bytes"]
    return on_edge


@pytest.mark.parametrize(
    "rules",
    [
        {**PEERS, **BOTH_WAYS},
        {**PEERS, "chunk_score": "accumulated", "server_learning_rate": 0.7},
        {**RING, **BOTH_WAYS, "evaluate_clients": True, "evaluation_interval": 2, "initial_model": "broadcast"},
        {**PEERS, **BOTH_WAYS, "aggregation_strategy": "median", "clients_per_group": 3},
    ],
)
def test_bits_are_those_of_a_star(make_settings, run_local, without_times, rules):
    peers = run_local(make_settings(**rules, number_of_actors=3))
    star = run_local(make_settings(**star_of(rules)))
    assert peers.summary.status == star.summary.status == "finished"
    assert peers.summary.weights_sha256 == star.summary.weights_sha256
    bytes_of = {"uplink_bytes", "downlink_bytes", "dense_bytes", "dense_uplink_bytes", "dense_downlink_bytes"}
    for table, apart in (("rounds", {*bytes_of, "consensus_distance"}), ("clients", bytes_of), ("chunks", set())):
        rows, theirs = without_times(peers.rows(table)), without_times(star.rows(table))
        assert [{key: row[key] for key in row if key not in apart} for row in rows] == [
            {key: row[key] for key in row if key not in apart} for row in theirs
        ]
    assert {row["consensus_distance"] for row in peers.rows("rounds")} <= {0, None}


def test_with_peers_that_fail_they_still_are(make_settings, run_local):
    faults = failing((1, 0), (2, 3), (2, 5), (4, 3))
    rules = {**PEERS, **BOTH_WAYS}
    peers = run_local(make_settings(**rules), faults)
    star = run_local(make_settings(**star_of(rules)), faults)
    assert peers.summary.status == "finished"
    assert peers.summary.weights_sha256 == star.summary.weights_sha256
    assert [row["status"] for row in peers.rows("clients")] == [row["status"] for row in star.rows("clients")]


def sent_in(star, round_index):
    """What each client of a star sent in a round, and what it was sent, in bytes."""
    link = edges_of(star, round_index)
    return [link[client, COORDINATOR] for client in range(7)], [link[COORDINATOR, client] for client in range(7)]


def test_every_message_is_billed_on_every_hop_of_its_way(make_settings, run_local):
    """In a ring of seven the root is peer 0, with three at each side: 1 + 2 + 3 hops from each."""
    rules = {**RING, **BOTH_WAYS}
    peers, star = (run_local(make_settings(**flat)) for flat in (rules, star_of(rules)))
    for index in range(1, 6):
        up, (down, *same) = sent_in(star, index)
        assert set(same) == {down}
        assert edges_of(peers, index) == {
            (3, 2): up[3], (2, 1): up[3] + up[2], (1, 0): up[3] + up[2] + up[1],
            (4, 5): up[4], (5, 6): up[4] + up[5], (6, 0): up[4] + up[5] + up[6],
            (0, 1): down, (1, 2): down, (2, 3): down, (0, 6): down, (6, 5): down, (5, 4): down,
        }  # fmt: skip
        (row,) = [row for row in peers.rows("rounds") if row["round"] == index]
        assert row["uplink_bytes"] == row["downlink_bytes"] == sum(edges_of(peers, index).values())


def headers_in(run, round_index):
    return [row for row in run.rows("ledger") if (row["round"], row["kind"]) == (round_index, "header")]


def test_the_root_hands_over_what_it_has_not_told_and_stays_until_it_fails(make_settings, run_local):
    """In a ring of seven the root is peer 0, as all are alike; others go round whoever is away."""
    rules, faults = {**RING, **BOTH_WAYS}, failing((2, 3), (3, 0))
    run, star = (run_local(make_settings(**flat), faults) for flat in (rules, star_of(rules)))
    assert run.summary.status == "finished"
    # 3 is away: nothing gets there, and nothing comes from there.
    up, (_, down, *_) = sent_in(star, 2)
    assert edges_of(run, 2) == {
        (2, 1): up[2], (1, 0): up[2] + up[1], (4, 5): up[4], (5, 6): up[4] + up[5], (6, 0): up[4] + up[5] + up[6],
        (0, 1): down, (1, 2): down, (0, 6): down, (6, 5): down, (5, 4): down,
    }  # fmt: skip
    # 0 is away, so 3 is the best of the line from 1 to 6. What 0 has not told and had to send gets there by 1 and 2:
    # the last changes for all, and for 3 itself what it missed.
    up, (_, down, _, missed, *_) = sent_in(star, 3)
    assert missed > 2 * down, "whole chunks in float32, not only the last changes of some in four bits"
    third = edges_of(run, 3)
    handed = third[0, 1]
    assert 0 < handed - down - missed <= 4 * run.spec.num_parameters + 100
    told = [row["bytes"] for row in headers_in(star, 3) if row["receiver"] in (1, 3)]
    on_the_way = [row["bytes"] for row in headers_in(run, 3) if (row["sender"], row["receiver"]) == (0, 1)]
    assert on_the_way == [8, sum(told)], "3 took part before: what is handed over to it has a short header"
    assert third == {
        (0, 1): handed, (1, 2): handed + up[1], (2, 3): handed + up[1] + up[2],
        (6, 5): up[6], (5, 4): up[6] + up[5], (4, 3): up[6] + up[5] + up[4],
        (3, 2): down, (2, 1): down, (3, 4): down, (4, 5): down, (5, 6): down,
    }  # fmt: skip
    up, _ = sent_in(star, 4)
    fourth = edges_of(run, 4)
    assert fourth[0, 1] == up[0], "0 is back, and 3 stays the root"
    assert fourth[2, 3] == up[0] + up[1] + up[2]


def test_a_graph_that_falls_apart_is_said_and_the_model_before_it_stays(make_settings, run_local):
    rules = {**RING, **BOTH_WAYS}
    broken = run_local(make_settings(**rules), failing((3, 1), (3, 4)))
    short = run_local(make_settings(**{**rules, "federated_learning_rounds": 2}))
    assert broken.summary.status == "failed"
    assert "fall into 2 parts (0, 5, 6; 2, 3)" in broken.summary.error
    assert broken.summary.weights_sha256 == short.summary.weights_sha256


def test_a_new_root_is_in_the_checkpoint(make_settings, observer):
    settings = make_settings(**{**RING, **BOTH_WAYS})

    class Kept:
        def __init__(self, key, value):
            self.key, self._packed = key, pack(value)

        def load(self):
            return unpack(*self._packed)

    def rest(federation):
        rounds = [federation.run_round(index, observer) for index in (4, 5)]
        return [row for one in rounds for row in one.tables["ledger"].to_pylist()], federation.final_model().weights_P

    with LocalFederation(settings, observer, failing((3, 0))) as federation:
        for index in (1, 2, 3):
            federation.run_round(index, observer)
        snapshot = federation.snapshot(3)
        kept = [Kept(one.key, one.load()) for one in snapshot.objects]
        values = unpack(*pack(snapshot.coordinator))
        rows, weights_P = rest(federation)
    with LocalFederation(settings, observer) as federation:
        federation.restore(Snapshot(3, values, kept))
        again = rest(federation)
    assert again[0] == rows
    assert again[1].tobytes() == weights_P.tobytes()


def test_messages_along_a_tree_by_hand():
    """0 is the root, 1 and 2 below it, 3 below 1; 4 is away."""
    tree = Tree.of(Topology.from_links(5, [(0, 1), (0, 2), (1, 3), (3, 4)]), 0, [0, 1, 2, 3])
    sent, ledger = MessageLedger(1), Ledger(1)
    sent.bill_all(COORDINATOR, [0, 1, 2, 3, 4], {"header": 8, "values": 100})
    sent.bill_all(COORDINATOR, [3], {"header": 8})
    for client in (0, 1, 2, 3):
        sent.bill(client, COORDINATOR, {"header": 8, "values": 10})
    assert sent.uplink_bytes() == 4 * 18, "the coordinator counts as in a star"
    bill_hops(ledger, sent.along(tree))
    rows = [(row["sender"], row["receiver"], row["kind"], row["bytes"]) for row in ledger.table().to_pylist()]
    assert rows == [
        (0, 1, "header", 16), (0, 1, "values", 100), (0, 2, "header", 8), (0, 2, "values", 100),
        (1, 0, "header", 16), (1, 0, "values", 20), (1, 3, "header", 16), (1, 3, "values", 100),
        (2, 0, "header", 8), (2, 0, "values", 10), (3, 1, "header", 8), (3, 1, "values", 10),
    ]  # fmt: skip
