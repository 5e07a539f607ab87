"""Each client has the one before and the one after it as neighbours."""

from __future__ import annotations

import networkx as nx


def ring(number_of_clients: int) -> list[tuple[int, int]]:
    """A cycle through all clients."""
    return list(nx.cycle_graph(number_of_clients).edges)
