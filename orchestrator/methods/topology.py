"""Who may send to whom when there is no coordinator: undirected connected graphs over the clients."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import networkx as nx
import numpy as np
from fedchunk.orchestrator.core.errors import ConfigError, Fault
from fedchunk.orchestrator.core.seeds import generator
from fedchunk.orchestrator.methods.adjacency import read_adjacency
from fedchunk.orchestrator.settings.rules.peers import topology_contradictions
from fedchunk.orchestrator.settings.sections import FederationSettings

MAX_DRAWS = 100
"""Draws of a random graph before giving up on a connected one; of 8 clients with 3 each, one draw in 500 is not."""

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


def build_topology(settings: FederationSettings, base_folder: Path | None = None) -> Topology | None:
    """The graph that the settings ask for; the same settings give the same graph.

    ``ring``: each client has the one before and the one after it. ``k_connected``: a random graph in which each client
    has ``k_value`` neighbours, drawn from ``random_seed``. ``complete``: everybody with everybody. ``custom``: the
    matrix in ``adjacency_matrix_file_name``. Each is connected, or parts of the federation would never hear of each
    other.

    Args:
        settings: topology, number of clients, k_value, file name, seed.
        base_folder: folder from which a relative file name counts (that of the settings' file); None: the current one.

    Returns:
        The graph, or None for ``star``: there the coordinator speaks with every client.

    Raises:
        ConfigError: no such graph exists, or the file is missing or wrong; with every fault that was found.
    """
    if remarks := [*topology_contradictions(settings)]:
        raise ConfigError([Fault("", remark.keys[0], remark.message) for remark in remarks])
    clients = settings.number_of_clients
    match settings.federated_learning_topology:
        case "star":
            return None
        case "ring":
            return Topology.from_links(clients, nx.cycle_graph(clients).edges)
        case "complete":
            return Topology.from_links(clients, nx.complete_graph(clients).edges)
        case "k_connected":
            assert settings.k_value is not None, "k_connected without k_value passed the settings' rules"
            return _random_regular(clients, settings.k_value, settings.random_seed)
        case "custom":
            assert settings.adjacency_matrix_file_name is not None, "custom without a file passed the settings' rules"
            return _from_file((base_folder or Path()) / settings.adjacency_matrix_file_name, clients)


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


def _random_regular(clients: int, degree: int, seed: int) -> Topology:
    rng = generator(seed, "topology")
    if degree == 2:
        # A connected graph of degree 2 is one ring through all; a drawn one would mostly be several small rings.
        order = [int(client) for client in rng.permutation(clients)]
        return Topology.from_links(clients, zip(order, order[1:] + order[:1], strict=True))
    draws = (_draw_regular(clients, degree, rng) for _ in range(MAX_DRAWS))
    graph = next((graph for graph in draws if nx.is_connected(graph)), None)
    assert graph is not None, f"no connected graph of {clients} clients with {degree} neighbours in {MAX_DRAWS} draws"
    return Topology.from_links(clients, graph.edges)


def _draw_regular(clients: int, degree: int, rng: np.random.Generator) -> nx.Graph:
    """A random regular graph; a dense one by the links that it lacks, since pairing up fails when few are left over."""
    drawing = random.Random(int(rng.integers(2**63)))
    lacking = clients - 1 - degree
    if lacking < degree:
        return nx.complement(nx.random_regular_graph(lacking, clients, seed=drawing))
    return nx.random_regular_graph(degree, clients, seed=drawing)


def _from_file(path: Path, clients: int) -> Topology:
    links = read_adjacency(path, clients)
    graph = nx.Graph(links)
    graph.add_nodes_from(range(clients))
    if lost := sorted(set(range(clients)) - nx.node_connected_component(graph, 0)):
        names = ", ".join(map(str, lost[:NAMED_CLIENTS])) + (", ..." if len(lost) > NAMED_CLIENTS else "")
        message = (
            f"{len(lost)} of {clients} clients cannot be reached from client 0 over any number of links: {names} "
            "(row 1 is client 0); add links until all are connected"
        )
        raise ConfigError([Fault(str(path), "adjacency_matrix_file_name", message)])
    return Topology.from_links(clients, links)
