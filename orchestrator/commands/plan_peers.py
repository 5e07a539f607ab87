"""The bytes of peers: how many messages a round has is in the graph, how long they are in the encoder."""

from __future__ import annotations

from dataclasses import replace

from fedchunk.orchestrator.commands.plan_chunks import chunks_of_round
from fedchunk.orchestrator.commands.plan_messages import NOTHING, Bounds, Messages
from fedchunk.orchestrator.commands.plan_star import Hops, Traffic, age_choices, star_traffic
from fedchunk.orchestrator.methods.relaying import Tree, best_root
from fedchunk.orchestrator.methods.topology import Topology
from fedchunk.orchestrator.settings.sections import FederationSettings


def peer_traffic(federation: FederationSettings, messages: Messages, topology: Topology) -> Traffic:
    """What peers send each other when nobody fails; what is sent over an edge is also received."""
    if messages.method.rule.relays == "to_root":
        return _tree_traffic(federation, messages, topology)
    num_rounds, clients = federation.federated_learning_rounds, topology.num_clients
    relayed = messages.method.rule.relays == "to_all"
    hops = Hops(clients * (clients - 1) if relayed else 2 * topology.edges)
    chunks = [_chunks(messages, index, with_age=True) for index in range(1, num_rounds + 1)]
    updates = [messages.update(count) for count in chunks]
    sent = sum(updates, start=NOTHING) * hops.up
    if messages.chunking.chunking and messages.chunking.chunk_max_age is not None:
        bare = [messages.update(_chunks(messages, index, with_age=False)) for index in range(1, num_rounds + 1)]
        most = sum(bare, start=NOTHING).high + age_choices(messages, num_rounds) * messages.chunk_up
        sent = Bounds(sent.low, min(sent.high, most * hops.up))
    message = Bounds.around(updates)
    return Traffic(Bounds.around(chunks), message, message, sent, sent, clients, hops=hops)


def _tree_traffic(federation: FederationSettings, messages: Messages, topology: Topology) -> Traffic:
    """A star's, hop by hop: an upload takes as many as its sender is deep, a download crosses each edge once.

    All take part in every round, so all uploads of a round have the same bounds, and one download goes to all.
    """
    star, clients = star_traffic(federation, messages), topology.num_clients
    everybody = range(clients)
    tree = Tree.of(topology, best_root(topology, everybody), everybody)
    hops = Hops(tree.sum_of_depths, len(tree.edges))
    sent = _share(star.uplink, hops.up, clients) + _share(star.downlink, hops.down, clients)
    return replace(star, uplink=sent, downlink=sent, downloads=None, hops=hops)


def _share(bounds: Bounds, hops: int, clients: int) -> Bounds:
    return Bounds(bounds.low * hops // clients, bounds.high * hops // clients)


def _chunks(messages: Messages, round_index: int, *, with_age: bool) -> Bounds:
    return chunks_of_round(messages, round_index, with_age=with_age)
