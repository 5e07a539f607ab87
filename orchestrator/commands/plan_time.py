"""How long the messages of a plan take over links, and what they cost: bounds from the bounds of their bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.chunking.header import SETUP_SIZE
from fedchunk.orchestrator.commands.plan_messages import Bounds
from fedchunk.orchestrator.core.link_times import RoundTraffic, peer_round, star_round
from fedchunk.orchestrator.core.links import ClientLinks, Links
from fedchunk.orchestrator.methods.relaying import Edge
from fedchunk.orchestrator.methods.topology import Topology

GIGABYTE = 10**9


@dataclass(frozen=True)
class Rates:
    """What time and money are counted with."""

    links: Links | None = None
    train_seconds: float | None = None
    """Local training of a client in a round, before its compute factor; None: not known, and not counted."""
    price_per_gb: float | None = None
    """Of a gigabyte (10^9 bytes) that is carried, in any currency."""


@dataclass(frozen=True)
class PlannedTime:
    """Seconds of all rounds; the coordinator's aggregation and evaluation are not in them."""

    links: str
    train_seconds: float | None
    low_s: float
    high_s: float
    dense_s: float
    """Of full exchange."""


@dataclass(frozen=True)
class PlannedPrice:
    """What all bytes cost, each counted once: between peers what one sends is what the other receives."""

    per_gb: float
    low: float
    high: float
    dense: float
    """Of full exchange."""

    @classmethod
    def of(cls, per_gb: float, carried: Bounds, dense: int) -> PlannedPrice:
        """The price of bytes that are carried."""
        return cls(per_gb, *(per_gb * count / GIGABYTE for count in (carried.low, carried.high, dense)))


class Clock:
    """Adds up the seconds of rounds, as the counting of their bytes goes through them."""

    def __init__(self, links: ClientLinks, train_seconds: float | None, dense_message: int) -> None:
        self._links, self._train_s, self._dense = links, train_seconds or 0.0, dense_message
        self._heard: set[int] = set()
        self.low_s = self.high_s = self.dense_s = 0.0

    def star(
        self, members: Sequence[int], uploads: Sequence[Bounds], downloads: Sequence[Bounds], messages: int
    ) -> None:
        """A round around a coordinator.

        Args:
            members: the clients of the round, ascending.
            uploads: what each of them sends.
            downloads: what each of them is sent.
            messages: how many messages that is, for one client.
        """
        ups, downs = _ends(uploads), _ends(downloads)
        for end in ("low_s", "high_s"):
            self._add(end, star_round(self._links, self._traffic(members, ups[end], downs[end], messages)).seconds)
        dense = self._dense_of(members)
        self._add("dense_s", star_round(self._links, self._traffic(members, dense, dense, 2)).seconds)

    def peers(self, topology: Topology, carried: Sequence[tuple[Sequence[Edge], Bounds]]) -> None:
        """A round of peers: edges, some of them perhaps several times, and the message that crosses each of these."""
        edges = np.array([edge for some, _ in carried for edge in some], np.int64).reshape(-1, 2)
        sizes = _ends([message for some, message in carried for _ in some])
        for end in ("low_s", "high_s"):
            self._exchange(end, topology, edges, sizes[end])
        own = np.array([(one, other) for one, all_own in enumerate(topology.neighbours) for other in all_own], np.int64)
        self._exchange("dense_s", topology, own, self._dense_of(own[:, 0].tolist()))

    def _dense_of(self, senders: Sequence[int]) -> NDArray[np.int64]:
        """Messages of full exchange, longer by their setup in the first round of a sender."""
        sizes = np.array([self._dense + SETUP_SIZE * (sender not in self._heard) for sender in senders], np.int64)
        self._heard.update(senders)
        return sizes

    def _exchange(self, end: str, topology: Topology, edges: NDArray[np.int64], sizes: NDArray[np.int64]) -> None:
        peers, (senders, receivers) = topology.num_clients, edges.T
        up_N, down_N = (np.bincount(ends, sizes, peers).astype(np.int64) for ends in (senders, receivers))
        traffic = self._traffic(range(peers), up_N, down_N, 0)
        self._add(end, peer_round(self._links, traffic, senders, receivers).seconds)

    def _traffic(
        self, members: Sequence[int], up_M: NDArray[np.int64], down_M: NDArray[np.int64], messages: int
    ) -> RoundTraffic:
        count = len(members)
        train_M = np.full(count, self._train_s)
        return RoundTraffic(np.asarray(members, np.int64), down_M, up_M, np.full(count, messages), train_M)

    def _add(self, end: str, seconds: float) -> None:
        setattr(self, end, getattr(self, end) + seconds)

    def planned(self, links: str, train_seconds: float | None) -> PlannedTime:
        """What came out."""
        return PlannedTime(links, train_seconds, self.low_s, self.high_s, self.dense_s)


def _ends(bounds: Sequence[Bounds]) -> dict[str, NDArray[np.int64]]:
    return {
        "low_s": np.array([one.low for one in bounds], np.int64),
        "high_s": np.array([one.high for one in bounds], np.int64),
    }
