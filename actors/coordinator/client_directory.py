"""What the coordinator keeps of its clients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedchunk.actors.coordinator import places
from fedchunk.actors.coordinator.places import Placed
from fedchunk.orchestrator.contract.ports import Handle
from fedchunk.orchestrator.contract.reports import ClientReport
from fedchunk.orchestrator.methods.exchange_rules._rule import NEVER, GlobalModel
from fedchunk.orchestrator.methods.method import Method, forgets_states
from fedchunk.orchestrator.settings.whole import Settings


@dataclass(frozen=True)
class ClientEntry:
    """A client, as the coordinator knows it."""

    known_round: int
    """The round of the model that it knows; :data:`NEVER` if none."""
    state: Placed | None = None
    """Where its state lies; None before it ever took part, and where nothing in it is of any use."""
    last_round: int = 0
    """The round in which it last took part."""
    told_round: int = NEVER
    """The round in which it was last told which chunks to send, with consensus."""


class ClientDirectory:
    """All clients, by number."""

    def __init__(self, count: int, *, know_the_first_model: bool, num_chunks: int | None = None) -> None:
        """``num_chunks`` where states that nobody needs any more are forgotten: then it is noted here which chunk was
        sent when. None: they are kept."""
        self._entries = [ClientEntry(0 if know_the_first_model else NEVER)] * count
        self._forgets = num_chunks is not None
        self._last_sent_NC = None if num_chunks is None else np.zeros((count, num_chunks), np.int32)

    @classmethod
    def of(cls, settings: Settings, method: Method, count: int) -> ClientDirectory:
        """The clients of a star, before its first round."""
        knows = settings.federation.clients_have_first_model
        noted = method.layout.num_chunks if forgets_states(settings, method) else None
        return cls(count, know_the_first_model=knows, num_chunks=noted)

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
        self._entries[client] = ClientEntry(round_index, state, last_round, self._entries[client].told_round)

    def record_choice(self, client: int, round_index: int) -> None:
        """The client was told which chunks to send in ``round_index``."""
        self._entries[client] = replace(self._entries[client], told_round=round_index)

    def last_sent(self, clients: Sequence[int]) -> NDArray[np.int32] | None:
        """The round in which each of the clients last sent each chunk, (K, C); None where their states say so."""
        return None if self._last_sent_NC is None else self._last_sent_NC[clients]

    def close_round(self, round_index: int, reports: Mapping[int, ClientReport], model: GlobalModel) -> None:
        """Notes what clients sent, and forgets the states in which the round has left nothing of their own."""
        if self._last_sent_NC is None:
            return
        self._note(self._last_sent_NC, round_index, reports)
        if not self._forgets:
            return
        replaced_since = model.replaced_since
        for client, entry in enumerate(self._entries):
            if entry.state is not None and entry.known_round < replaced_since:
                self._entries[client] = replace(entry, state=None)

    @staticmethod
    def _note(last_sent_NC: NDArray[np.int32], round_index: int, reports: Mapping[int, ClientReport]) -> None:
        clients = list(reports)
        last_sent_KC = last_sent_NC[clients]
        last_sent_KC[np.stack([report.selected_C for report in reports.values()])] = round_index
        last_sent_NC[clients] = last_sent_KC

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
        last_sent_NC = None if self._last_sent_NC is None else self._last_sent_NC.copy()
        return {"places_N3": places_N3, "rounds_N3": np.array(rounds, np.int32), "last_sent_NC": last_sent_NC}, objects

    def restore(self, saved: Mapping[str, Any], objects: Sequence[Handle]) -> None:
        """What :meth:`saved` gave."""
        states = places.restored(saved["places_N3"], objects)
        rounds = saved["rounds_N3"].tolist()
        self._entries = [
            ClientEntry(known, state, last, told) for state, (known, last, told) in zip(states, rounds, strict=True)
        ]
        self._last_sent_NC = None if saved["last_sent_NC"] is None else saved["last_sent_NC"].copy()
