"""What comes together while peers that hand messages on play a round, and what they have after it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fedchunk.actors.coordinator.evaluation import Evaluated
from fedchunk.actors.coordinator.ledger import Ledger
from fedchunk.actors.coordinator.places import Placed
from fedchunk.orchestrator.chunking.header import Expected
from fedchunk.orchestrator.contract.messages import Span
from fedchunk.orchestrator.contract.ports import Handle
from fedchunk.orchestrator.contract.reports import ClientReport


@dataclass(frozen=True)
class Missed:
    """The message to a peer that was away."""

    expected: Expected
    """What the peer knows of it."""
    payload: Handle


@dataclass
class RelayRound:
    """One round in progress. Mappings are by client."""

    round_index: int
    ledger: Ledger
    newcomers: frozenset[int]
    """Peers whose message has never counted: it says also what everybody knows of the others."""
    missed: dict[int, Missed] = field(default_factory=dict)
    """What peers that were away are sent first."""
    payloads: dict[int, Placed] = field(default_factory=dict)
    """Of the peers that take part."""
    states: dict[int, Placed] = field(default_factory=dict)
    """What they remember, once everybody has their messages."""
    reports: dict[int, ClientReport] = field(default_factory=dict)
    attempts: dict[int, int] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)
    rejected: dict[int, str] = field(default_factory=dict)
    evaluated: Evaluated = field(default_factory=Evaluated)
    """Of the shared model after the round, if it was measured."""
    spans: list[Span] = field(default_factory=list)

    @property
    def senders(self) -> list[int]:
        """Peers that take part, ascending."""
        return sorted(self.payloads)

    @property
    def counted(self) -> list[int]:
        """Those of them whose messages count."""
        return [client for client in self.senders if client not in self.rejected]


@dataclass(frozen=True)
class SharedModel:
    """The model that peers share after a round."""

    round_index: int
    model: Handle | None
    """None of the first, which everybody makes from the seed."""
    changed_C: NDArray[np.int32]
    """The round in which each chunk last changed."""
