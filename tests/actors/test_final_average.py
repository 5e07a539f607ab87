"""The mean of all peers' models after their last round: along a tree, on the bill, the same bits everywhere."""

from collections import Counter

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedchunk.actors.backends.local import make_client
from fedchunk.actors.client.averaging import Averaging
from fedchunk.orchestrator.contract.messages import BufferSpec, ModelSpec, ModelState, ParameterSpec
from fedchunk.orchestrator.contract.peer_messages import AverageOrder
from fedchunk.orchestrator.core.errors import PayloadError
from fedchunk.orchestrator.methods.final_average import AverageForm, SpanningTree, average_message_bytes
from fedchunk.orchestrator.methods.topology import Topology, build_topology
from fedchunk.orchestrator.settings.sections import FederationSettings

PEERS = {
    "federated_learning_schema": "DecentralizedFederatedLearning", "federated_learning_topology": "k_connected",
    "k_value": 4, "number_of_clients": 8, "final_average": True,
}  # fmt: skip
RULES = {
    "full exchange": {"chunking": False},
    "contributors": {"final_average_encoding": "float16"},
    "own weights": {
        "chunk_reconstruction": "own_weights", "federated_learning_topology": "ring", "k_value": None,
        "final_average_encoding": "int8",
    },
    "stale copies": {
        "chunk_reconstruction": "stale_copies", "chunk_score": "accumulated", "chunk_encoding": "int4",
        "momentum": 0.9, "momentum_start": "quasi_global", "learning_rate": 0.02, "withheld_share": 0.5,
    },
    "one link": {"number_of_clients": 2, "federated_learning_topology": "ring", "k_value": None},
}  # fmt: skip
NEAR = {"float32": {"atol": 1e-7}, "float16": {"rtol": 3e-3, "atol": 1e-4}, "int8": {"atol": 2e-3}}


@given(st.integers(2, 25), st.integers(0, 2**32 - 1))
def test_the_tree_is_the_shortest_paths_of_the_graph(clients, seed):
    rng = np.random.default_rng(seed)
    links = {(int(rng.integers(other)), other) for other in range(1, clients)}
    links |= {(one, other) for one in range(clients) for other in range(one) if rng.random() < 0.1}
    topology = Topology.from_links(clients, links)
    tree = SpanningTree.of(topology)
    assert sorted(client for level in tree.levels for client in level) == list(range(clients))
    assert len(tree.parents) == clients - 1
    assert all(parent in topology.neighbours[client] for client, parent in tree.parents.items())
    graph = nx.Graph(links)
    graph.add_nodes_from(range(clients))
    distances = nx.single_source_shortest_path_length(graph, 0)
    for distance, level in enumerate(tree.levels):
        assert all(distances[client] == distance for client in level)
        assert all(distances[tree.parents[client]] == distance - 1 for client in level if client)
    assert tree.sizes[0] == clients
    for client, children in tree.children.items():
        assert tree.sizes[client] == 1 + sum(tree.sizes[child] for child in children)


def watched(states, break_in=None):
    """Clients that note what they average, and what comes of it."""

    def make(settings, device, data):
        client = make_client(settings, device, data)
        up, down = client.average_up, client.average_down

        def watch_up(order, state, *payloads):
            if order.client_id == break_in:
                raise ZeroDivisionError("on purpose")
            states["before", order.client_id] = client.initial_model().state
            if state:
                states["before", order.client_id] = state.model
                states["withheld", order.client_id] = state.withheld_P
            return up(order, state, *payloads)

        def watch_down(order, state, payload):
            report, after = down(order, state, payload)
            states["after", order.client_id] = after.model
            return report, after

        client.average_up, client.average_down = watch_up, watch_down
        return client

    return make


@pytest.mark.parametrize("rules", RULES.values(), ids=list(RULES))
def test_all_peers_end_with_the_mean_of_all_and_every_message_is_billed(make_settings, run_local, rules):
    settings = make_settings(**{**PEERS, **rules})
    clients, states = settings.federation.number_of_clients, {}
    run = run_local(settings, watched(states))
    assert run.summary.status == "finished"
    exact_P = np.mean([states["before", client].weights_P for client in range(clients)], axis=0, dtype=np.float64)
    if rules is RULES["stale copies"]:  # what neighbours have not heard counts as it does where training begins
        withheld_P = np.mean([states["withheld", client] for client in range(clients)], axis=0, dtype=np.float64)
        assert np.abs(withheld_P).max() > 1e-3
        exact_P += 0.5 * withheld_P
    np.testing.assert_allclose(run.model.weights_P, exact_P, **NEAR[settings.federation.final_average_encoding])
    for client in range(clients):
        assert states["after", client].weights_P.tobytes() == run.model.weights_P.tobytes()
    assert not np.array_equal(states["before", 0].weights_P, states["before", 1].weights_P)
    last = run.rows("rounds")[-1]
    assert last["consensus_distance"] == 0
    assert last["client_accuracy_min"] == last["client_accuracy_mean"] == last["client_accuracy_max"]
    tree = SpanningTree.of(build_topology(settings))
    plain = run_local(make_settings(**{**PEERS, **rules, "final_average": False}))
    before, after = (Counter(tuple(row.values()) for row in one.rows("ledger")) for one in (plain, run))
    counts = [sum(row["bytes"] for row in one.rows("ledger")) for one in (plain, run)]
    assert counts[1] - counts[0] == len(tree.edges) * average_message_bytes(settings.federation, run.spec)
    added = after - before
    assert {index for index, *_ in added} == {3}
    links = {(sender, receiver) for _, sender, receiver, *_ in added}
    assert links == set(tree.edges)
    assert len(tree.edges) == 2 * (clients - 1)
    for name in ("uplink_bytes", "downlink_bytes"):
        assert last[name] == sum(row["bytes"] for row in run.rows("ledger") if row["round"] == 3)
    for kept in ("accuracy", "client_accuracy_mean", "uplink_bytes", "train_loss"):
        assert [row[kept] for row in run.rows("rounds")[:2]] == [row[kept] for row in plain.rows("rounds")[:2]]


def test_actors_and_order_change_nothing(make_settings, run_local, shuffled_group, without_times):
    settings = {**PEERS, **RULES["stale copies"], "final_average_encoding": "float16"}
    one = run_local(make_settings(number_of_actors=1, **settings))
    shuffled_group(np.random.default_rng(5))
    three = run_local(make_settings(number_of_actors=3, **settings))
    assert one.summary.weights_sha256 == three.summary.weights_sha256
    for table in ("rounds", "clients", "ledger"):
        assert without_times(one.rows(table)) == without_times(three.rows(table))


def test_a_peer_that_never_trained_counts_with_the_first_model(make_settings, run_local):
    states = {}

    def make(settings, device, data):
        client = watched(states)(settings, device, data)
        ready = client._ready

        def failing(peer):
            if peer.order.client_id == 3:
                raise ZeroDivisionError("on purpose")
            return ready(peer)

        client._ready = failing
        return client

    run_settings = make_settings(**PEERS, federated_learning_rounds=1)
    run = run_local(run_settings, make)
    exact_P = np.mean([states["before", client].weights_P for client in range(8)], axis=0, dtype=np.float64)
    np.testing.assert_allclose(run.model.weights_P, exact_P, atol=1e-7)
    tree = SpanningTree.of(build_topology(run_settings))
    headers = {
        (row["sender"], row["receiver"]): row["bytes"]
        for row in run.rows("ledger")
        if row["kind"] == "header" and row["sender"] == 3
    }
    assert headers == {(3, tree.parents[3]): 32} | {(3, child): 8 for child in tree.children[3]}


def test_without_one_peer_there_is_no_mean_and_it_is_named(make_settings, run_local):
    run = run_local(make_settings(**PEERS), watched({}, break_in=5))
    assert (run.summary.status, run.summary.rounds_completed) == ("failed", 2)
    assert "client 5: final average: ZeroDivisionError: on purpose" in run.summary.error


SPEC = ModelSpec(
    (ParameterSpec("w", (3,), 0, 3),),
    (BufferSpec("mean", (2,), False, 0, 2), BufferSpec("seen", (1,), True, 0, 1)),
)


def state(*values):
    return ModelState(
        np.array(values, np.float32), np.array(values[:2], np.float32), np.array([round(values[0])], np.int64)
    )


def form(encoding, num_parameters=3):
    return AverageForm.of(FederationSettings(final_average_encoding=encoding), num_parameters)


def test_means_of_parts_by_hand():
    averaging = Averaging(SPEC, form("float32"))
    new = frozenset({2})
    leaf = averaging.up(AverageOrder(4, 2, 1, (), (), new), state(3, 6, 9), [])
    middle = averaging.up(AverageOrder(4, 1, 2, (2,), (1,), new), state(5, 0, 1), [leaf.payload])
    whole = averaging.up(AverageOrder(4, 0, 1, (1,), (2,)), state(1, 0, 2), [middle.payload])
    after = averaging.down(AverageOrder(4, 2, 1, (0,), (3,)), state(9, 9, 9), whole.payload)
    assert after.weights_P.tolist() == [3, 2, 4]
    assert after.buffers_B.tolist() == [3, 2]
    assert after.counters_I.tolist() == [3]
    assert len(whole.payload) == sum(whole.sizes.values()) == 8 + 12 + 8 + 8
    assert len(leaf.payload) == sum(leaf.sizes.values()) == len(whole.payload) + 24, "who never sent says who it is"


@pytest.mark.parametrize("new", [frozenset(), frozenset({0, 1})])
@pytest.mark.parametrize("wrong", [(5, 0, 1), (4, 1, 1), (4, 0, 2)])
def test_a_mean_of_somebody_else_is_refused(wrong, new):
    averaging = Averaging(SPEC, form("float16"))
    payload = averaging.up(AverageOrder(4, 0, 1, (), (), new), state(1, 2, 3), []).payload
    assert averaging.down(AverageOrder(4, 2, 1, (0,), (1,), new), state(9, 9, 9), payload).counters_I.tolist() == [1]
    round_index, sender, count = wrong
    with pytest.raises(PayloadError, match="expected"):
        averaging.down(AverageOrder(round_index, 2, 1, (sender,), (count,), new), state(1, 2, 3), payload)
    with pytest.raises(PayloadError):
        averaging.down(AverageOrder(4, 2, 1, (0,), (1,), frozenset({0}) - new), state(1, 2, 3), payload)
    damaged = payload.copy()
    damaged[-1] ^= 1
    with pytest.raises(PayloadError, match="checksum"):
        averaging.down(AverageOrder(4, 2, 1, (0,), (1,), new), state(1, 2, 3), damaged)


def test_whole_numbers_of_eight_bits_have_a_scale_for_each_256_values():
    spec = ModelSpec((ParameterSpec("weight", (600,), 0, 600),), ())
    rng = np.random.default_rng(3)
    sizes = np.repeat([1.0, 100.0, 0.01], 200)  # layers of other magnitudes
    model = ModelState(
        (sizes * rng.standard_normal(600)).astype(np.float32), np.empty(0, np.float32), np.empty(0, np.int64)
    )
    averaging = Averaging(spec, form("int8", 600))
    sent = averaging.up(AverageOrder(1, 1, 1, (), ()), model, [])
    assert sent.sizes["values"] == 600
    assert sent.sizes["scales"] == 3 * 2
    assert len(sent.payload) == average_message_bytes(FederationSettings(final_average_encoding="int8"), spec)
    after = averaging.down(AverageOrder(1, 0, 1, (1,), (1,)), model, sent.payload)
    for block in (slice(0, 200), slice(200, 400), slice(400, 600)):
        error = np.abs(after.weights_P[block] - model.weights_P[block]).max()
        assert 0 < error <= 0.51 * np.abs(model.weights_P[block]).max() / 127
