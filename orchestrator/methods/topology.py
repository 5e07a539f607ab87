"""Who may send to whom when there is no coordinator: undirected connected graphs over the clients."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import networkx as nx

from fedchunk.orchestrator.components import Bound
from fedchunk.orchestrator.core.errors import ConfigError, Fault
from fedchunk.orchestrator.core.seeds import generator
from fedchunk.orchestrator.settings.joined import Sections
from fedchunk.orchestrator.settings.rules.peers import topology_contradictions

NAMED_CLIENTS = 10
"""Clients out of reach that an error names; the others are counted."""


@dataclass(frozen=True)
class Topology:
    """The neighbours of each client. Links go both ways and nobody is a neighbour of itself.

    Example:
        >>> Topology.from_links(4, [(0, 1), (2, 1), (2, 3), (3, 0)]).neighbours
        ((1, 3), (0, 2), (1, 3), (0, 2))
    """

    neighbours: tuple[tuple[int, ...], ...]
    """For each client the clients it exchanges with, in ascending order."""

    @classmethod
    def from_links(cls, num_clients: int, links: Iterable[tuple[int, int]]) -> Topology:
        """The topology with these links between clients 0 to ``num_clients`` - 1; each link is named once or twice."""
        neighbours: list[set[int]] = [set() for _ in range(num_clients)]
        for one, other in links:
            neighbours[one].add(other)
            neighbours[other].add(one)
        return cls(tuple(tuple(sorted(clients)) for clients in neighbours))

    @property
    def num_clients(self) -> int:
        """N, the number of clients."""
        return len(self.neighbours)

    @property
    def edges(self) -> int:
        """Number of links; a round in which everybody sends has twice as many messages."""
        return sum(map(len, self.neighbours)) // 2

    @property
    def density(self) -> float:
        """Share of all possible links that are there: 1 if everybody is a neighbour of everybody."""
        return 2 * self.edges / (self.num_clients * (self.num_clients - 1))


def build_topology(settings: Sections) -> Topology | None:
    """The graph that the settings ask for; the same settings give the same graph. None in a star.

    Raises:
        ConfigError: no such graph exists, or its file is missing or wrong; with every fault that was found.
        ComponentFailed: a user's topology raised, or gave back no connected graph over the clients.
    """
    federation = settings.federation
    if not federation.peer_to_peer:
        return None
    if remarks := [*topology_contradictions(federation)]:
        raise ConfigError([Fault("", remark.keys[0], remark.message) for remark in remarks])
    bound, clients = settings.bound("topology"), federation.number_of_clients
    offers = {**settings.on_offer("topology"), "number_of_clients": clients}
    if "rng" in bound.asks:
        offers["rng"] = generator(federation.random_seed, "topology")
    edges = bound(**offers)
    if bound.is_own:
        edges = _checked(bound, edges, clients)
    if lost := _out_of_reach(clients, edges):
        names = ", ".join(map(str, lost[:NAMED_CLIENTS])) + (", ..." if len(lost) > NAMED_CLIENTS else "")
        message = (
            f"{len(lost)} of {clients} clients cannot be reached from client 0 over any number of links: {names} "
            "(row 1 of a matrix is client 0); add links until all are connected"
        )
        if bound.is_own:
            raise bound.failed(message)
        raise ConfigError([Fault(federation.adjacency_matrix_file_name or "", "adjacency_matrix_file_name", message)])
    return Topology.from_links(clients, edges)


def _checked(bound: Bound, edges: Any, clients: int) -> list[tuple[int, int]]:
    """A user's edges, each a pair of different clients."""
    with bound.named():
        pairs = [(int(one), int(other)) for one, other in edges]
    for one, other in pairs:
        if one == other or not (0 <= one < clients and 0 <= other < clients):
            allowed = f"pairs of different clients from 0 to {clients - 1}"
            raise bound.failed(f"returned the edge ({one}, {other}); allowed: {allowed}")
    return pairs


def _out_of_reach(clients: int, edges: Iterable[tuple[int, int]]) -> list[int]:
    """Clients that client 0 cannot reach."""
    graph = nx.Graph(edges)
    graph.add_nodes_from(range(clients))
    return sorted(set(range(clients)) - nx.node_connected_component(graph, 0))


def metropolis_weights(topology: Topology) -> tuple[tuple[float, ...], ...]:
    """How much each client trusts each neighbour: ``w_ij = 1 / (1 + max(degree_i, degree_j))``.

    With ``w_ii = 1 - sum_j w_ij`` left for the client itself, the matrix is symmetric and its rows sum to 1, so mixing
    keeps the average over all clients, whatever the graph (Xiao, Boyd & Lall 2005, "A scheme for robust distributed
    sensor fusion based on average consensus").

    Returns:
        For each client the weights of its neighbours, in the order of ``topology.neighbours``.

    Example:
        >>> metropolis_weights(Topology.from_links(3, [(0, 1), (1, 2)]))
        ((0.3333333333333333,), (0.3333333333333333, 0.3333333333333333), (0.3333333333333333,))
    """
    degrees = [len(clients) for clients in topology.neighbours]
    return tuple(
        tuple(1 / (1 + max(degrees[client], degrees[other])) for other in others)
        for client, others in enumerate(topology.neighbours)
    )
