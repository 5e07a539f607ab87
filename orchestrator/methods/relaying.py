"""Along which edges messages are handed on, where peers pass them beyond their neighbours.

All peers know the graph, so all know these trees: nobody has to be told where a message goes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property

import networkx as nx

from fedchunk.orchestrator.methods.topology import Topology

Edge = tuple[int, int]
"""From a peer to a neighbour of it."""


def tree_edges(topology: Topology, root: int, among: Collection[int]) -> list[Edge]:
    """The breadth-first tree of a peer over those ``among`` whom it can reach, lowest number first.

    A message of the root gets to everybody exactly once when each peer hands it on to its children.

    Returns:
        (parent, child), parents before their children.

    Example:
        >>> tree_edges(Topology.from_links(4, [(0, 1), (0, 2), (1, 3), (2, 3)]), 3, range(4))
        [(3, 1), (3, 2), (1, 0)]
    """
    return list(nx.bfs_edges(_graph(topology, among), root, sort_neighbors=sorted))


def all_trees(topology: Topology, among: Collection[int]) -> dict[int, list[Edge]]:
    """The tree of each peer ``among``, see :func:`tree_edges`."""
    graph = _graph(topology, among)
    return {root: list(nx.bfs_edges(graph, root, sort_neighbors=sorted)) for root in sorted(among)}


def parts(topology: Topology, among: Collection[int]) -> list[list[int]]:
    """The peers ``among`` who can reach each other, part by part; one part where all can."""
    return sorted(sorted(part) for part in nx.connected_components(_graph(topology, among)))


def nearest_way(topology: Topology, receiver: int, holders: Collection[int]) -> list[Edge]:
    """The edges from the nearest of ``holders`` to ``receiver``, which is none of them; equals: lowest number first.

    Example:
        >>> nearest_way(Topology.from_links(4, [(0, 1), (1, 2), (2, 3)]), 1, [3])
        [(3, 2), (2, 1)]
    """
    towards: dict[int, int] = {}
    for parent, child in tree_edges(topology, receiver, range(topology.num_clients)):
        towards[child] = parent
        if child in holders:
            return list(_up(child, towards))
    raise ValueError(f"{receiver} can reach none of {sorted(holders)}")


@dataclass(frozen=True)
class Tree:
    """One spanning tree over some peers: messages go up to its root, and down from it."""

    root: int
    edges: tuple[Edge, ...]
    """(parent, child), parents before their children."""

    @classmethod
    def of(cls, topology: Topology, root: int, among: Collection[int]) -> Tree:
        """The breadth-first tree of ``root`` over those ``among`` whom it can reach."""
        return cls(root, tuple(tree_edges(topology, root, among)))

    def __contains__(self, client: int) -> bool:
        return client == self.root or client in self.parents

    @cached_property
    def parents(self) -> dict[int, int]:
        """Of each peer but the root."""
        return {child: parent for parent, child in self.edges}

    @property
    def sum_of_depths(self) -> int:
        """Hops of one message from each peer to the root, all together."""
        return sum(len(self.up(client)) for client in self.parents)

    def up(self, client: int) -> list[Edge]:
        """The way from a peer to the root."""
        return list(_up(client, self.parents))

    def down(self, clients: Iterable[int]) -> list[Edge]:
        """The edges that one message takes from the root to these peers: each once, however many are behind it."""
        needed = {(parent, child) for client in clients for child, parent in _up(client, self.parents)}
        return [edge for edge in self.edges if edge in needed]


def best_root(topology: Topology, among: Collection[int]) -> int:
    """The peer with the smallest sum of depths among those who can all reach each other; equals: the lowest number."""
    return min(sorted(among), key=lambda root: Tree.of(topology, root, among).sum_of_depths)


def _up(client: int, parents: dict[int, int]) -> Iterable[Edge]:
    while client in parents:
        yield client, parents[client]
        client = parents[client]


def _graph(topology: Topology, among: Collection[int]) -> nx.Graph[int]:
    members = set(among)
    graph: nx.Graph[int] = nx.Graph()
    graph.add_nodes_from(sorted(members))
    links = ((one, other) for one in members for other in topology.neighbours[one] if other in members)
    graph.add_edges_from(links)
    return graph
