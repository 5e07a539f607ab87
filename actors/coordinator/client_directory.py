"""What the coordinator keeps of its clients, and what it sends them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedchunk.actors.coordinator.ledger import Ledger
from fedchunk.orchestrator.chunking.encoding import Encoded, encode
from fedchunk.orchestrator.contract.messages import COORDINATOR
from fedchunk.orchestrator.contract.ports import Handle, Returned
from fedchunk.orchestrator.methods.exchange_rules._rule import NEVER, GlobalModel


@dataclass(frozen=True)
class StateRef:
    """A row of the :class:`ClientStates` that a call returned."""

    states: Handle
    group: int
    row: int
    machine: str | None = None
    """The machine that has it, where there are several."""


def places_of(answer: Returned, number: int, clients: Iterable[int]) -> dict[int, StateRef]:
    """Where the clients of a call's group ``number`` are now."""
    states, machine = answer.handles[0], answer.where
    return {client: StateRef(states, number, row, machine) for row, client in enumerate(clients)}


@dataclass(frozen=True)
class DownlinkBatch:
    """What clients are sent."""

    messages: list[NDArray[np.uint8]]
    of: Mapping[int, tuple[int, ...]]
    """Which messages are whose, in their order."""


@dataclass(frozen=True)
class ClientEntry:
    """A client, as the coordinator knows it."""

    known_round: int
    """The round of the model that it knows; :data:`NEVER` if none."""
    state: StateRef | None = None
    """Where its state lies; None before it ever took part."""
    last_round: int = 0
    """The round in which it last took part."""
    told_round: int = NEVER
    """The round in which it was last told which chunks to send, with consensus."""


class ClientDirectory:
    """All clients, by number."""

    def __init__(self, count: int, *, know_the_first_model: bool) -> None:
        self._entries = [ClientEntry(0 if know_the_first_model else NEVER)] * count

    def state(self, client: int) -> StateRef | None:
        """Where the client's state lies."""
        return self._entries[client].state

    def last_round(self, client: int) -> int:
        """The round in which the client last took part, 0 before it ever did."""
        return self._entries[client].last_round

    def stands(self, client: int) -> bool:
        """Whether the client took part before: both ends know what their messages need not say again."""
        return self._entries[client].last_round > 0

    def record_state(self, client: int, round_index: int, state: StateRef, last_round: int) -> None:
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
        objects: dict[int, Handle] = {}
        for entry in self._entries:
            if entry.state is not None:
                objects.setdefault(id(entry.state.states), entry.state.states)
        number = {one: at for at, one in enumerate(objects)}
        places = [
            (-1, 0, 0) if entry.state is None else (number[id(entry.state.states)], entry.state.group, entry.state.row)
            for entry in self._entries
        ]
        rounds = [(entry.known_round, entry.last_round, entry.told_round) for entry in self._entries]
        return {"places_N3": np.array(places, np.int32), "rounds_N3": np.array(rounds, np.int32)}, [*objects.values()]

    def restore(self, saved: Mapping[str, Any], objects: Sequence[Handle]) -> None:
        """What :meth:`saved` gave."""
        rows = zip(saved["places_N3"].tolist(), saved["rounds_N3"].tolist(), strict=True)
        self._entries = [
            ClientEntry(known, None if at < 0 else StateRef(objects[at], group, row), last, told)
            for (at, group, row), (known, last, told) in rows
        ]

    def send_model(
        self, clients: Iterable[int], model: GlobalModel, ledger: Ledger, choice_C: NDArray[np.bool_] | None = None
    ) -> DownlinkBatch:
        """Bills each client what it must be sent; encodes once for all clients that need the same.

        With consensus a client that sent last round's chunks knows which they were: no mask goes with their means.
        """
        messages: list[Encoded] = []
        receivers: list[list[int]] = []
        known: dict[tuple[int, bool, bool], tuple[int, ...]] = {}
        equal: dict[bytes, tuple[int, ...]] = {}
        of: dict[int, tuple[int, ...]] = {}
        for client in clients:
            entry = self._entries[client]
            needs_mask = not (entry.known_round == model.round_index - 1 and entry.told_round == model.round_index)
            stands = self.stands(client)
            key = (entry.known_round, needs_mask, stands)
            if key not in known:
                # Clients that missed more rounds need the same as soon as every chunk has changed since.
                told = model.message_key(entry.known_round) + bytes([needs_mask, stands])
                if told not in equal:
                    sent = model.messages_since(entry.known_round, choice_C=choice_C, with_mask=needs_mask)
                    equal[told] = tuple(range(len(messages), len(messages) + len(sent)))
                    messages.extend(message.over(stands=stands) for message in sent)
                    receivers.extend([] for _ in sent)
                known[key] = equal[told]
            of[client] = known[key]
            for at in of[client]:
                receivers[at].append(client)
        for message, its in zip(messages, receivers, strict=True):
            ledger.bill_all(COORDINATOR, its, message.sizes)
        return DownlinkBatch([message.payload for message in messages], of)

    def send_choice(
        self, clients: Iterable[int], model: GlobalModel, round_index: int, ledger: Ledger, choice_C: NDArray[np.bool_]
    ) -> NDArray[np.uint8]:
        """The message that tells clients that have sent scores which chunks to send; bills each of them."""
        message = encode(
            model.layout,
            model.state.weights_P,
            np.zeros_like(choice_C),
            round_index=round_index,
            sender=COORDINATOR,
            num_samples=0,
            buffers=None,
            choice_C=choice_C,
        ).over(stands=True)
        ledger.bill_all(COORDINATOR, clients, message.sizes)
        return message.payload
