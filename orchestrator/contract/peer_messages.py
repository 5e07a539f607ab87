"""What passes between the coordinator of peers and the actors that act for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.chunking.header import Expected
from fedchunk.orchestrator.contract.evaluation import EvaluationSums, Measured
from fedchunk.orchestrator.contract.messages import Span, StatePlace
from fedchunk.orchestrator.contract.reports import ReportRows


@dataclass(frozen=True)
class TrainOrder:
    """What one client is to do in one round."""

    round_index: int
    client_id: int
    stands: bool = False
    """Whether it has sent something before, so that its connections stand."""
    rounds: int = 1
    """From the round that its state is of to this one: 1, and 1 more for each in which it did not count."""


@dataclass(frozen=True)
class RelayOrder:
    """What an actor is to do for a group of peers that know the same model."""

    peers: tuple[TrainOrder, ...]
    """One for each, ascending."""
    states: tuple[StatePlace | None, ...]
    """Where each one's state is, of those that come with the order; None where it never counted."""
    missed: Expected | None = None
    """What they know of the message that says what they missed; None where they missed nothing."""


@dataclass(frozen=True)
class PeersOrder:
    """What an actor is to do for a group of peers that train from their own models."""

    peers: tuple[TrainOrder, ...]
    """One for each, ascending."""
    num_neighbours: tuple[int, ...]
    """Of each of ``peers``."""


@dataclass(frozen=True)
class PeersReport:
    """What peers say after training."""

    reports: ReportRows | None
    """Of those that could; None where nobody could."""
    sizes: Mapping[int, Mapping[str, int]]
    """The bytes of their payloads by kind."""
    failed: Mapping[int, str]
    """Why others could not."""
    spans: tuple[Span, ...]


@dataclass(frozen=True)
class MixOrder:
    """What one peer is to mix in one round."""

    train: TrainOrder
    senders: tuple[int, ...]
    """Whose payloads it is handed, ascending: its own and those of neighbours that sent."""
    neighbours: tuple[int, ...]
    """All its neighbours, ascending."""
    weights: tuple[float, ...]
    """What each neighbour weighs in gossip, in the order of ``neighbours``."""
    evaluate: bool
    """Whether to measure the model on the test set."""
    newcomers: tuple[int, ...] = ()
    """Those of ``senders`` that have never sent anything before: their message sets up the connections."""


@dataclass(frozen=True)
class PeerObjects:
    """Which of the objects that come with an order are a peer's."""

    state: int | None
    """The peer after its training; None: it has never trained."""
    payloads: tuple[int, ...]
    """What it is handed, in the order of its senders; an object that several neighbours are handed comes once."""


@dataclass(frozen=True)
class MixPeersOrder:
    """What an actor is to do for peers whose neighbours have sent."""

    peers: tuple[MixOrder, ...]
    objects: tuple[PeerObjects, ...]
    """Of each of ``peers``."""


@dataclass(frozen=True)
class MixReport:
    """What a peer says after mixing."""

    refused: Mapping[int, str]
    """Senders whose payloads did not pass the checks, and why."""
    measured: Measured | None
    """Its model, if that was asked for."""


@dataclass(frozen=True)
class MixPeersReport:
    """What peers say after mixing."""

    reports: Mapping[int, MixReport]
    """Of those that could."""
    failed: Mapping[int, str]
    """Why others could not."""
    spans: tuple[Span, ...]


@dataclass(frozen=True)
class RelaySum:
    """What came of adding the messages that all peers have."""

    sizes: Mapping[int, Mapping[str, int]]
    """The bytes of each peer's message by kind."""
    rejected: Mapping[int, str]
    """Peers whose messages did not pass the checks, and why."""
    unread: frozenset[int]
    """Those of them that whoever got the message first saw; of the others it took all messages to know."""
    sent_C: NDArray[np.bool_]
    """Which chunks somebody sent."""
    spans: tuple[Span, ...]


@dataclass(frozen=True)
class AverageOrder:
    """What one peer is to do in a step of the final average."""

    round_index: int
    client_id: int
    num_neighbours: int
    senders: tuple[int, ...]
    """Whose means come with the order: of those below it, ascending; on the way down of the root."""
    counts: tuple[int, ...]
    """Of how many peers each of these is the mean."""
    newcomers: frozenset[int] = frozenset()
    """Those of ``senders`` and itself that have never sent anything before: their message sets up the connections."""
    evaluate: bool = False
    """Whether to measure the model on the test set."""


@dataclass(frozen=True)
class AverageReport:
    """What a peer says after a step of the final average."""

    sizes: Mapping[str, int]
    """The bytes of its message by kind; none on the way down, where it passes on what it got."""
    whole: EvaluationSums | None
    """The mean of all on the whole test set, if that was asked for."""
    own: EvaluationSums | None
    """The same on the peer's own samples that are kept for it; None on the way up, and where there are none."""
    spans: tuple[Span, ...]
