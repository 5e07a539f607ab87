"""The bytes of peers: how many messages a round has is in the graph, how long they are in the encoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from fedchunk.orchestrator.chunking.header import SETUP_SIZE
from fedchunk.orchestrator.commands.plan_chunks import chunks_of_round
from fedchunk.orchestrator.commands.plan_messages import NOTHING, Bounds, Messages
from fedchunk.orchestrator.commands.plan_star import Hops, Traffic, age_choices, star_traffic
from fedchunk.orchestrator.methods.final_average import SpanningTree, average_message_bytes
from fedchunk.orchestrator.methods.relaying import Edge, Tree, all_trees, best_root
from fedchunk.orchestrator.methods.topology import Topology
from fedchunk.orchestrator.settings.sections import FederationSettings

Watch = Callable[[Topology, Sequence[tuple[Sequence[Edge], Bounds]]], object]
"""Told of each round which edges messages cross, and how long those are."""


def peer_traffic(
    federation: FederationSettings, messages: Messages, topology: Topology, watch: Watch | None = None
) -> Traffic:
    """What peers send each other when nobody fails; what is sent over an edge is also received.

    The final average is in the sums, and in the last round that ``watch`` is told of.
    """
    if messages.method.rule.relays == "to_root":
        return _tree_traffic(federation, messages, topology, watch)
    num_rounds, clients = federation.federated_learning_rounds, topology.num_clients
    edges, average = _edges(messages, topology), final_average(messages, topology)
    hops = Hops(len(edges))
    chunks = [_chunks(messages, index, with_age=True) for index in range(1, num_rounds + 1)]
    updates, setup = [messages.update(count) for count in chunks], Bounds.exactly(SETUP_SIZE)
    updates[0] += setup
    if watch is not None:
        for update in updates[:-1]:
            watch(topology, [(edges, update)])
        watch(topology, [(edges, updates[-1]), (average.edges, Bounds.exactly(average.message))])
    sent = sum(updates, start=NOTHING) * hops.up
    if messages.chunking.chunking and messages.chunking.chunk_max_age is not None:
        bare = [messages.update(_chunks(messages, index, with_age=False)) for index in range(1, num_rounds + 1)]
        most = sum(bare, start=setup).high + age_choices(messages, num_rounds) * messages.chunk_up
        most += num_rounds * messages.longest_mask
        sent = Bounds(sent.low, min(sent.high, most * hops.up))
    message = Bounds.around(updates)
    sent += Bounds.exactly(average.bytes)
    return Traffic(Bounds.around(chunks), message, message, sent, sent, clients, hops=hops)


def _edges(messages: Messages, topology: Topology) -> list[Edge]:
    """The edges that the messages of a round cross, each as often as it is crossed."""
    if messages.method.rule.relays == "to_all":
        return [edge for edges in all_trees(topology, range(topology.num_clients)).values() for edge in edges]
    return [(one, other) for one, own in enumerate(topology.neighbours) for other in own]


def _tree_traffic(
    federation: FederationSettings, messages: Messages, topology: Topology, watch: Watch | None
) -> Traffic:
    """A star's, hop by hop: an upload takes as many as its sender is deep, a download crosses each edge once.

    All take part in every round, so all uploads of a round have the same bounds, and one download goes to all.
    """
    everybody, clients = range(topology.num_clients), topology.num_clients
    tree = Tree.of(topology, best_root(topology, everybody), everybody)
    up = [edge for client in everybody for edge in tree.up(client)]

    def along_the_tree(
        members: Sequence[int], uploads: Sequence[Bounds], downloads: Sequence[Bounds], count: int
    ) -> None:
        if watch is not None:
            watch(topology, [(up, Bounds.around(uploads)), (tree.edges, Bounds.around(downloads))])

    star = star_traffic(federation, messages, along_the_tree)
    hops = Hops(tree.sum_of_depths, len(tree.edges))
    sent = _share(star.uplink, hops.up, clients) + _share(star.downlink, hops.down, clients)
    return replace(star, uplink=sent, downlink=sent, downloads=None, hops=hops)


def _share(bounds: Bounds, hops: int, clients: int) -> Bounds:
    return Bounds(bounds.low * hops // clients, bounds.high * hops // clients)


@dataclass(frozen=True)
class PlannedAverage:
    """What goes over which edges after the last round; nothing where there is no final average."""

    edges: Sequence[Edge] = ()
    message: int = 0
    """Bytes of the message over each of them: all have sent by then, so all connections stand."""

    @property
    def bytes(self) -> int:
        """Of all messages."""
        return len(self.edges) * self.message


def final_average(messages: Messages, topology: Topology | None) -> PlannedAverage:
    """The final average of an experiment."""
    federation = messages.settings.federation
    if topology is None or not federation.final_average:
        return PlannedAverage()
    return PlannedAverage(SpanningTree.of(topology).edges, average_message_bytes(federation, messages.spec))


def _chunks(messages: Messages, round_index: int, *, with_age: bool) -> Bounds:
    return chunks_of_round(messages, round_index, with_age=with_age)
