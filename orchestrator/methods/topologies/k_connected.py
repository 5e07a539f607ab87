"""A random graph in which each client has k_value neighbours, drawn from random_seed."""

from __future__ import annotations

import random

import networkx as nx
import numpy as np

MAX_DRAWS = 100
"""Draws of a random graph before giving up on a connected one; of 8 clients with 3 each, one draw in 500 is not."""


def k_connected(number_of_clients: int, k_value: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """The links of a connected regular graph."""
    if k_value == 2:
        # A connected graph of degree 2 is one ring through all; a drawn one would mostly be several small rings.
        order = [int(client) for client in rng.permutation(number_of_clients)]
        return list(zip(order, order[1:] + order[:1], strict=True))
    draws = (_draw_regular(number_of_clients, k_value, rng) for _ in range(MAX_DRAWS))
    graph = next((graph for graph in draws if nx.is_connected(graph)), None)
    what = f"{number_of_clients} clients with {k_value} neighbours"
    assert graph is not None, f"no connected graph of {what} in {MAX_DRAWS} draws"
    return list(graph.edges)


def _draw_regular(clients: int, degree: int, rng: np.random.Generator) -> nx.Graph:
    """A random regular graph; a dense one by the links that it lacks, since pairing up fails when few are left over."""
    drawing = random.Random(int(rng.integers(2**63)))
    lacking = clients - 1 - degree
    if lacking < degree:
        return nx.complement(nx.random_regular_graph(lacking, clients, seed=drawing))
    return nx.random_regular_graph(degree, clients, seed=drawing)
