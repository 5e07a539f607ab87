"""The tree of exceptions. Each survives pickling with its fields, so that it can cross a process border.

    FedchunkError
    ├── ConfigError        the settings are wrong (nothing has started)
    ├── DataError          a data set is missing or unreadable (nothing has started)
    ├── ComponentFailed    a component of the user raised, or gave back what it must not
    ├── PayloadError       bytes that are not a valid message for this layout
    ├── EncodingError      values that the encoding in force cannot hold
    ├── ClientFailed       one client could not do its part of a round
    ├── RoundFailed        too few clients finished a round
    ├── ActorsUnavailable  no actor could be started, or all of them were lost
    │   └── CoordinatorLost the coordinator died with all that it knew
    ├── StatesLost         clients' states were lost with the node that had them
    ├── RecordsError       a run's folder or table cannot be read
    └── TrackingError      the tracking store cannot be reached at the start

A message says what, where, what was found and what to do. ``FedchunkError`` keeps the constructor's arguments in
``args``: that alone makes pickling call the constructor again with the same fields.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


class FedchunkError(Exception):
    """Root of everything that fedchunk raises on purpose."""


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with the settings: where it stands, what was found and what to do."""

    where: str
    """``file:line:column`` or the command-line override, as the user typed it."""
    key: str
    """The setting, or an empty string when the whole document is meant."""
    message: str
    """What was found, what is allowed, what to do."""

    def __str__(self) -> str:
        return ": ".join(part for part in (self.where, self.key, self.message) if part)


class ConfigError(FedchunkError):
    """The settings are wrong. ``faults`` lists everything that was found, at once."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__(tuple(faults))
        self.faults = tuple(faults)

    def __str__(self) -> str:
        return "\n".join(str(fault) for fault in self.faults)


class DataError(FedchunkError):
    """A data set is missing or not what its name says. The message names the files and the remedy."""


class ComponentFailed(FedchunkError):
    """A component did not do its part: it raised, or gave back what its kind must not."""

    def __init__(self, key: str, name: str, where: str, reason: str) -> None:
        super().__init__(key, name, where, reason)
        self.key = key
        """The setting that names it."""
        self.name = name
        self.where = where
        """File and line; empty for a built-in."""
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.key} {self.name}{f' ({self.where})' if self.where else ''}: {self.reason}"


class PayloadError(FedchunkError):
    """Bytes that cannot be taken as a message of this federation; ``reason`` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class EncodingError(FedchunkError):
    """Values that the encoding in force cannot hold."""


class ClientFailed(FedchunkError):
    """A client could not do its part of a round; ``stage`` is where in the client it happened."""

    def __init__(self, client_id: int, round_index: int, stage: str, reason: str) -> None:
        super().__init__(client_id, round_index, stage, reason)
        self.client_id = client_id
        self.round_index = round_index
        self.stage = stage
        self.reason = reason

    def __str__(self) -> str:
        return f"client {self.client_id} failed in round {self.round_index} while it did {self.stage}: {self.reason}"


class RoundFailed(FedchunkError):
    """Too few clients finished a round. ``reasons`` maps a client to why it did not."""

    def __init__(self, round_index: int, finished: int, needed: int, reasons: Mapping[int, str]) -> None:
        super().__init__(round_index, finished, needed, dict(reasons))
        self.round_index = round_index
        self.finished = finished
        self.needed = needed
        self.reasons = dict(reasons)

    def __str__(self) -> str:
        lines = [f"round {self.round_index} failed: {self.finished} clients finished, {self.needed} are needed"]
        return "\n".join(lines + [f"  {line}" for line in group_reasons(self.reasons)])


class PeersApart(FedchunkError):
    """Without the peers that failed in a round, the others cannot all reach each other. ``parts`` are those who can."""

    def __init__(self, round_index: int, parts: Sequence[Sequence[int]], reasons: Mapping[int, str]) -> None:
        super().__init__(round_index, tuple(map(tuple, parts)), dict(reasons))
        self.round_index = round_index
        self.parts = tuple(map(tuple, parts))
        self.reasons = dict(reasons)

    def __str__(self) -> str:
        parts = "; ".join(", ".join(map(str, part)) for part in self.parts)
        lines = [
            f"round {self.round_index} failed: without the peers that failed in it the others fall into "
            f"{len(self.parts)} parts ({parts}), so messages cannot be handed on to all; give the topology more links"
        ]
        return "\n".join(lines + [f"  {line}" for line in group_reasons(self.reasons)])


class ActorsUnavailable(FedchunkError):
    """No actor can take work: they did not start in time, or were lost and could not be replaced."""


class CoordinatorLost(ActorsUnavailable):
    """The coordinator's process or node is gone, and with it everything that no checkpoint has."""


class StatesLost(FedchunkError):
    """What clients remember was lost with a node: the rounds since the last checkpoint have to be played again."""

    def __init__(self, clients: Sequence[int]) -> None:
        super().__init__(tuple(clients))
        self.clients = tuple(clients)

    def __str__(self) -> str:
        few = ", ".join(map(str, self.clients[:5])) + (", ..." if len(self.clients) > 5 else "")
        return f"the states of {len(self.clients)} clients ({few}) were lost with a node"


class RecordsError(FedchunkError):
    """A run's folder or one of its tables cannot be read."""


class TrackingError(FedchunkError):
    """The tracking store cannot be used. Raised only at the start: later failures are spooled."""


def reason_of(error: BaseException) -> str:
    """Why a call failed, without the client's name, so that equal failures of many clients group."""
    if isinstance(error, ClientFailed):
        return f"{error.stage}: {error.reason}"
    if isinstance(error, ComponentFailed):
        return str(error)
    return f"{type(error).__name__}: {error}"


def group_reasons(reasons: Mapping[int, str]) -> list[str]:
    """Equal reasons once, with the clients they befell: 64 equal failures print as one line.

    Example:
        >>> group_reasons({3: "no data", 1: "no data", 2: "late"})
        ['clients 1, 3: no data', 'client 2: late']
    """
    clients_by_reason: dict[str, list[int]] = defaultdict(list)
    for client_id, reason in sorted(reasons.items()):
        clients_by_reason[reason].append(client_id)
    return [
        f"client{'s' if len(clients) > 1 else ''} {', '.join(map(str, clients))}: {reason}"
        for reason, clients in clients_by_reason.items()
    ]
