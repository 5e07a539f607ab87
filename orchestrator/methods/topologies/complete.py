"""Everybody is a neighbour of everybody."""

from __future__ import annotations

import networkx as nx


def complete(number_of_clients: int) -> list[tuple[int, int]]:
    """All pairs of clients."""
    return list(nx.complete_graph(number_of_clients).edges)
