"""The bytes of peers: in every round one message over every edge, in each direction."""

from __future__ import annotations

from collections.abc import Callable

from fedchunk.orchestrator.commands.plan_chunks import chunks_of_round
from fedchunk.orchestrator.commands.plan_messages import NOTHING, Bounds, Messages
from fedchunk.orchestrator.commands.plan_star import Traffic, age_choices
from fedchunk.orchestrator.methods.topology import Topology


def peer_traffic(
    num_rounds: int,
    messages: Messages,
    topology: Topology,
    watch: Callable[[Topology, Bounds], object] | None = None,
) -> Traffic:
    """What peers send each other; what is sent over an edge is also received. ``watch`` is told of each round."""
    chunks = [_chunks(messages, index, with_age=True) for index in range(1, num_rounds + 1)]
    updates = [messages.update(count) for count in chunks]
    if watch is not None:
        for update in updates:
            watch(topology, update)
    directed = 2 * topology.edges
    sent = sum(updates, start=NOTHING) * directed
    if messages.chunking.chunking and messages.chunking.chunk_max_age is not None:
        bare = [messages.update(_chunks(messages, index, with_age=False)) for index in range(1, num_rounds + 1)]
        most = sum(bare, start=NOTHING).high + age_choices(messages, num_rounds) * messages.chunk_up
        sent = Bounds(sent.low, min(sent.high, most * directed))
    message = Bounds.around(updates)
    return Traffic(Bounds.around(chunks), message, message, sent, sent, topology.num_clients)


def _chunks(messages: Messages, round_index: int, *, with_age: bool) -> Bounds:
    return chunks_of_round(messages, round_index, with_age=with_age)
