"""What the coordinator keeps of its clients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fedchunk.actors.coordinator import places
from fedchunk.actors.coordinator.places import Placed
from fedchunk.orchestrator.contract.ports import Handle
from fedchunk.orchestrator.methods.exchange_rules._rule import NEVER


@dataclass(frozen=True)
class ClientEntry:
    """A client, as the coordinator knows it."""

    known_round: int
    """The round of the model that it knows; :data:`NEVER` if none."""
    state: Placed | None = None
    """Where its state lies; None before it ever took part."""
    last_round: int = 0
    """The round in which it last took part."""
    told_round: int = NEVER
    """The round in which it was last told which chunks to send, with consensus."""


class ClientDirectory:
    """All clients, by number."""

    def __init__(self, count: int, *, know_the_first_model: bool) -> None:
        self._entries = [ClientEntry(0 if know_the_first_model else NEVER)] * count

    def state(self, client: int) -> Placed | None:
        """Where the client's state lies."""
        return self._entries[client].state

    def last_round(self, client: int) -> int:
        """The round in which the client last took part, 0 before it ever did."""
        return self._entries[client].last_round

    def entry(self, client: int) -> ClientEntry:
        """The client."""
        return self._entries[client]

    def stands(self, client: int) -> bool:
        """Whether the client took part before: both ends know what their messages need not say again."""
        return self._entries[client].last_round > 0

    def record_state(self, client: int, round_index: int, state: Placed, last_round: int) -> None:
        """The client knows the model of ``round_index`` now, and is what ``state`` says after ``last_round``."""
        self._entries[client] = replace(
            self._entries[client], known_round=round_index, state=state, last_round=last_round
        )

    def record_choice(self, client: int, round_index: int) -> None:
        """The client was told which chunks to send in ``round_index``."""
        self._entries[client] = replace(self._entries[client], told_round=round_index)

    @property
    def entries(self) -> list[ClientEntry]:
        """All clients as they are now; may be set again."""
        return list(self._entries)

    @entries.setter
    def entries(self, entries: list[ClientEntry]) -> None:
        self._entries = list(entries)

    def saved(self) -> tuple[dict[str, Any], list[Handle]]:
        """All entries as arrays, and the objects that they point into."""
        places_N3, objects = places.saved([entry.state for entry in self._entries])
        rounds = [(entry.known_round, entry.last_round, entry.told_round) for entry in self._entries]
        return {"places_N3": places_N3, "rounds_N3": np.array(rounds, np.int32)}, objects

    def restore(self, saved: Mapping[str, Any], objects: Sequence[Handle]) -> None:
        """What :meth:`saved` gave."""
        states = places.restored(saved["places_N3"], objects)
        rounds = saved["rounds_N3"].tolist()
        self._entries = [
            ClientEntry(known, state, last, told) for state, (known, last, told) in zip(states, rounds, strict=True)
        ]
