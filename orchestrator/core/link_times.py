"""What a round takes over links: from bytes and training times to seconds, by formulas that ``docs/links.md`` explains.

Star. Client i needs ``t_i = n_i l_i + max(D_i / d_i, D / S_up) + f_i train_i + max(U_i / u_i, U / S_down)``: its
latencies (n_i messages), its download, its training, its upload; D and U are what all clients of the round receive and
send, and the coordinator divides its own rates by the bytes, so that whoever waits for it ends together. The round is
``max_i t_i`` and the aggregation.

Peers. Peer i sends its messages one after the other from ``c_i = f_i train_i`` to ``a_i = c_i + U_i / u_i``. Peer j has
heard all once the last of its neighbours' messages has come, ``max_i a_i + l_i + l_j``, and once its downlink, which
cannot begin before the first one, has taken them in: ``min_i c_i + l_i + l_j + D_j / d_j``. The round is the latest
of these, and of the ``a_j``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.core.links import ClientLinks

Seconds = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RoundTraffic:
    """What M clients did in a round. Clients ascending."""

    clients_M: NDArray[np.int64]
    down_M: NDArray[np.int64]
    """Bytes received."""
    up_M: NDArray[np.int64]
    """Bytes sent."""
    messages_M: NDArray[np.int64]
    """Messages from and to the coordinator: each waits for the latency once."""
    train_M: Seconds
    """Seconds of training, before any factor."""


@dataclass(frozen=True)
class RoundTime:
    """The seconds of a round, and how a client of it spends them on the average: the parts add up to ``seconds``."""

    seconds: float
    down_s: float
    compute_s: float
    up_s: float
    latency_s: float
    waiting_s: float
    """For the slowest, the coordinator's aggregation included; of peers also latency."""
    slowest: int
    """The client for which the others wait."""


PARTS = tuple(field.name for field in fields(RoundTime) if field.name not in ("seconds", "slowest"))
"""Names of the parts of a round's seconds."""


def star_round(links: ClientLinks, traffic: RoundTraffic, aggregate_s: float = 0.0) -> RoundTime:
    """A round around a coordinator."""
    own = traffic.clients_M
    down_M = np.maximum(traffic.down_M / links.down_N[own], traffic.down_M.sum() / links.server_up)
    up_M = np.maximum(traffic.up_M / links.up_N[own], traffic.up_M.sum() / links.server_down)
    compute_M = links.compute_N[own] * traffic.train_M
    latency_M = traffic.messages_M * links.latency_N[own]
    total_M = down_M + compute_M + up_M + latency_M
    seconds = float(total_M.max()) + aggregate_s
    return _round_time(seconds, int(own[total_M.argmax()]), (down_M, compute_M, up_M, latency_M, seconds - total_M))


def peer_round(
    links: ClientLinks, traffic: RoundTraffic, senders_E: NDArray[np.int64], receivers_E: NDArray[np.int64]
) -> RoundTime:
    """A round of peers.

    Args:
        links: of all clients.
        traffic: of the peers; all that is at the ends of an edge is among them.
        senders_E: the clients at the beginning of each edge that carried anything; an edge may stand there twice.
        receivers_E: those at its end.
    """
    own = traffic.clients_M
    latency_M, compute_M = links.latency_N[own], links.compute_N[own] * traffic.train_M
    up_M, down_M = traffic.up_M / links.up_N[own], traffic.down_M / links.down_N[own]
    sent_M = compute_M + up_M
    at_E, to_E = np.searchsorted(own, senders_E), np.searchsorted(own, receivers_E)
    way_E = latency_M[at_E] + latency_M[to_E]
    heard_M, first_M = np.zeros(len(own)), np.full(len(own), np.inf)
    np.maximum.at(heard_M, to_E, sent_M[at_E] + way_E)
    np.minimum.at(first_M, to_E, compute_M[at_E] + way_E)
    received_M = np.where(np.isfinite(first_M), first_M, 0.0) + down_M
    total_M = np.maximum(np.maximum(sent_M, heard_M), received_M)
    seconds = float(total_M.max())
    # Receiving goes on beside training and sending: only what is left of it afterwards is told apart from waiting.
    receiving_M = np.minimum(down_M, seconds - sent_M)
    parts = (receiving_M, compute_M, up_M, np.zeros(len(own)), seconds - sent_M - receiving_M)
    return _round_time(seconds, int(own[total_M.argmax()]), parts)


def _round_time(seconds: float, slowest: int, parts_M: Sequence[Seconds]) -> RoundTime:
    """The parts, in the order of :data:`PARTS`, as means over clients."""
    down_s, compute_s, up_s, latency_s, waiting_s = (float(part.mean()) for part in parts_M)
    return RoundTime(seconds, down_s, compute_s, up_s, latency_s, waiting_s, slowest)
