"""Trees along which messages are handed on: every message reaches every peer once, over edges, whatever the graph."""

import itertools
from collections import Counter, deque

import hypothesis.strategies as st
import pytest
from hypothesis import given

from fedchunk.orchestrator.methods.relaying import Tree, all_trees, best_root, nearest_way, parts, tree_edges
from fedchunk.orchestrator.methods.topology import Topology

LINE = Topology.from_links(5, [(0, 1), (1, 2), (2, 3), (3, 4)])


@st.composite
def graphs(draw):
    """A connected graph: a random tree, its peers renamed, and some more links."""
    clients = draw(st.integers(2, 14))
    names = draw(st.permutations(range(clients)))
    links = [(names[child], names[draw(st.integers(0, child - 1))]) for child in range(1, clients)]
    peer = st.integers(0, clients - 1)
    more = draw(st.lists(st.tuples(peer, peer), max_size=12))
    return Topology.from_links(clients, [*links, *((one, other) for one, other in more if one != other)])


def distances(topology, root, among):
    """Hops from a peer to each that it can reach, by a search of its own."""
    found, waiting = {root: 0}, deque([root])
    while waiting:
        at = waiting.popleft()
        for other in topology.neighbours[at]:
            if other in among and other not in found:
                found[other] = found[at] + 1
                waiting.append(other)
    return found


@given(graphs())
def test_every_message_gets_to_everybody_once_over_edges_and_all_cost_n_times_n_less_one(topology):
    everybody = range(topology.num_clients)
    crossed = Counter()
    for origin, edges in all_trees(topology, everybody).items():
        has_it = {origin}
        for sender, receiver in edges:
            assert sender in has_it, "only what was heard can be handed on"
            assert receiver in topology.neighbours[sender]
            assert receiver not in has_it, "nobody gets a message twice"
            has_it.add(receiver)
            crossed[sender, receiver] += 1
        assert has_it == set(everybody)
    assert crossed.total() == topology.num_clients * (topology.num_clients - 1)


@given(graphs(), st.data())
def test_ways_are_the_shortest_there_are_round_those_that_are_away(topology, data):
    root = data.draw(st.integers(0, topology.num_clients - 1))
    away = data.draw(st.sets(st.integers(0, topology.num_clients - 1))) - {root}
    present = set(range(topology.num_clients)) - away
    shortest = distances(topology, root, present)
    tree = Tree.of(topology, root, present)

    assert {root, *tree.parents} == shortest.keys()
    assert tree.edges == tuple(tree_edges(topology, root, present))
    for client in tree.parents:
        way = tree.up(client)
        assert (way[0][0], way[-1][1], len(way)) == (client, root, shortest[client])
    assert tree.sum_of_depths == sum(shortest.values())
    assert [sorted(shortest)] == [part for part in parts(topology, present) if root in part]


@given(graphs(), st.data())
def test_a_message_down_the_tree_takes_each_edge_once_and_reaches_whom_it_is_for(topology, data):
    everybody = range(topology.num_clients)
    tree = Tree.of(topology, data.draw(st.sampled_from(everybody)), everybody)
    receivers = data.draw(st.sets(st.sampled_from(everybody)))
    edges = tree.down(receivers)

    has_it = {tree.root}
    for sender, receiver in edges:
        assert sender in has_it
        assert receiver not in has_it
        has_it.add(receiver)
    assert receivers <= has_it
    needed = {edge for client in receivers for edge in tree.up(client)}
    assert {(receiver, sender) for sender, receiver in edges} == needed
    assert len(tree.down(everybody)) == topology.num_clients - 1


@given(graphs(), st.data())
def test_who_was_away_hears_from_the_nearest_that_knows(topology, data):
    everybody = range(topology.num_clients)
    receiver = data.draw(st.sampled_from(everybody))
    holders = data.draw(st.sets(st.sampled_from(everybody), min_size=1)) - {receiver}
    if not holders:
        return
    way = nearest_way(topology, receiver, holders)
    shortest = distances(topology, receiver, everybody)

    assert way[0][0] in holders
    assert way[-1][1] == receiver
    assert all(other in topology.neighbours[one] for one, other in way)
    assert all(earlier[1] == later[0] for earlier, later in itertools.pairwise(way))
    assert len(way) == min(shortest[holder] for holder in holders)


@given(graphs())
def test_the_root_is_the_peer_with_the_smallest_sum_of_depths(topology):
    everybody = range(topology.num_clients)
    sums = [sum(distances(topology, client, everybody).values()) for client in everybody]

    assert best_root(topology, everybody) == sums.index(min(sums))


def test_a_line_by_hand():
    assert best_root(LINE, range(5)) == 2
    assert Tree.of(LINE, 2, range(5)).edges == ((2, 1), (2, 3), (1, 0), (3, 4))
    assert Tree.of(LINE, 2, range(5)).sum_of_depths == 6
    assert nearest_way(LINE, 1, [3, 4]) == [(3, 2), (2, 1)]
    assert nearest_way(LINE, 2, [1, 3]) == [(1, 2)], "of two that are as near the lower number"
    assert parts(LINE, [0, 1, 3, 4]) == [[0, 1], [3, 4]]
    with pytest.raises(ValueError, match="0 can reach none"):
        nearest_way(LINE, 0, [])
