"""The bytes of peers: in every round one message over every edge, in each direction."""

from __future__ import annotations

from fedchunk.orchestrator.commands.plan_chunks import chunks_of_round
from fedchunk.orchestrator.commands.plan_messages import NOTHING, Bounds, Messages
from fedchunk.orchestrator.commands.plan_star import Traffic, age_choices
from fedchunk.orchestrator.methods.final_average import average_bytes
from fedchunk.orchestrator.methods.topology import Topology


def peer_traffic(num_rounds: int, messages: Messages, topology: Topology) -> Traffic:
    """What peers send each other; what is sent over an edge is also received. The final average is in the sums."""
    chunks = [_chunks(messages, index, with_age=True) for index in range(1, num_rounds + 1)]
    updates = [messages.update(count) for count in chunks]
    directed = 2 * topology.edges
    sent = sum(updates, start=NOTHING) * directed
    if messages.chunking.chunking and messages.chunking.chunk_max_age is not None:
        bare = [messages.update(_chunks(messages, index, with_age=False)) for index in range(1, num_rounds + 1)]
        most = sum(bare, start=NOTHING).high + age_choices(messages, num_rounds) * messages.chunk_up
        sent = Bounds(sent.low, min(sent.high, most * directed))
    message = Bounds.around(updates)
    sent += Bounds.exactly(final_average_bytes(messages, topology))
    return Traffic(Bounds.around(chunks), message, message, sent, sent, topology.num_clients)


def final_average_bytes(messages: Messages, topology: Topology | None) -> int:
    """What the final average takes in all; 0 where there is none."""
    federation = messages.settings.federation
    if topology is None or not federation.final_average:
        return 0
    return average_bytes(federation, messages.spec, topology.num_clients)


def _chunks(messages: Messages, round_index: int, *, with_age: bool) -> Bounds:
    return chunks_of_round(messages, round_index, with_age=with_age)
