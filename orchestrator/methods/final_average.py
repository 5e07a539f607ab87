"""An exact mean of the peers' models: along which links it goes, and what its messages are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import networkx as nx

from fedchunk.orchestrator.chunking import choice_code
from fedchunk.orchestrator.chunking.encoding import Packing, message_bytes
from fedchunk.orchestrator.chunking.layout import Layout
from fedchunk.orchestrator.contract.messages import ModelSpec
from fedchunk.orchestrator.methods.relaying import Edge
from fedchunk.orchestrator.methods.topology import Topology
from fedchunk.orchestrator.settings.sections import FederationSettings

ROOT = 0
"""Where the means of all meet. Any client would do: all know the graph, so all know the tree."""


@dataclass(frozen=True)
class SpanningTree:
    """N - 1 links of a connected graph that reach everybody: sums go up them, and their mean comes down.

    Example:
        >>> tree = SpanningTree.of(Topology.from_links(4, [(0, 1), (0, 3), (1, 2), (2, 3)]))
        >>> tree.levels, dict(tree.parents), dict(tree.sizes)
        (((0,), (1, 3), (2,)), {1: 0, 3: 0, 2: 1}, {2: 1, 1: 2, 3: 1, 0: 4})
    """

    levels: tuple[tuple[int, ...], ...]
    """Clients by their distance from :data:`ROOT`, ascending in each."""
    parents: Mapping[int, int]
    """For each client but the root the one that is nearer to it."""

    @classmethod
    def of(cls, topology: Topology) -> SpanningTree:
        """The breadth-first tree, lowest clients first, so that as few messages as can be wait for each other."""
        graph = nx.Graph((one, other) for one, others in enumerate(topology.neighbours) for other in others)
        levels = nx.bfs_layers(graph, ROOT)
        parents = dict(nx.bfs_predecessors(graph, ROOT, sort_neighbors=sorted))
        return cls(tuple(tuple(sorted(level)) for level in levels), parents)

    @property
    def edges(self) -> list[Edge]:
        """What messages cross, each once: every link up, then every link down."""
        return [*self.parents.items(), *((parent, client) for client, parent in self.parents.items())]

    @cached_property
    def children(self) -> Mapping[int, tuple[int, ...]]:
        """For each client those whose parent it is, ascending."""
        below: dict[int, list[int]] = {client: [] for level in self.levels for client in level}
        for client, parent in self.parents.items():
            below[parent].append(client)
        return {client: tuple(sorted(clients)) for client, clients in below.items()}

    @cached_property
    def sizes(self) -> Mapping[int, int]:
        """How many clients each has below it, itself among them."""
        counted: dict[int, int] = {}
        for level in reversed(self.levels):
            counted |= {client: 1 + sum(counted[child] for child in self.children[client]) for client in level}
        return counted


BLOCK_VALUES = 256
"""Values that share a scale, in an encoding that has scales: 2 bytes of 258, and no layer's values are lost beside
those of a layer with larger ones."""


@dataclass(frozen=True)
class AverageForm:
    """What the messages of an average are: the whole of a model, however the updates are cut and encoded."""

    layout: Layout
    packing: Packing

    @classmethod
    def of(cls, federation: FederationSettings, num_parameters: int) -> AverageForm:
        """One chunk, or blocks where these have scales."""
        packing = Packing.built_in(federation.final_average_encoding)
        has_scales = packing.codec.scale_bytes(1) > 0
        return cls(Layout(num_parameters, -(-num_parameters // BLOCK_VALUES) if has_scales else 1), packing)


def average_message_bytes(federation: FederationSettings, spec: ModelSpec) -> int:
    """Bytes of each message of an average, over a connection that stands."""
    form = AverageForm.of(federation, spec.num_parameters)
    chunks, codec = form.layout.num_chunks, form.packing.codec
    counts = spec.num_parameters, spec.num_float_buffers, spec.num_integer_buffers
    mask = choice_code.most_bytes(chunks, chunks, chunks)
    return sum(message_bytes(*counts, mask=mask, num_selected=chunks, codec=codec).values())
