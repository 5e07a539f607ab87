"""What the coordinator keeps of its clients, and what it sends them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from actors.global_model import NEVER, GlobalModel
from actors.ledger import Ledger
from orchestrator.chunking.encoding import Encoded, encode
from orchestrator.messages import COORDINATOR
from orchestrator.ports import ClientGroup, Handle


@dataclass(frozen=True)
class Member:
    """A client, as the coordinator knows it."""

    known_round: int
    """The round of the model that it knows; :data:`NEVER` if none."""
    state: Handle | None = None
    """Where its :class:`ClientState` lies; None before it ever took part."""
    told_round: int = NEVER
    """The round in which it was last told which chunks to send, with consensus."""


class Members:
    """All clients, by number."""

    def __init__(self, count: int, group: ClientGroup, *, know_the_first_model: bool) -> None:
        self._group = group
        self._newcomer = Member(0 if know_the_first_model else NEVER)
        self._members = [self._newcomer] * count

    def state(self, client: int) -> Handle | None:
        """Where the client's state lies."""
        return self._members[client].state

    def forget(self, client: int) -> None:
        """The client's state is lost: it starts again as one that never took part."""
        self._members[client] = self._newcomer

    def know(self, client: int, round_index: int, state: Handle) -> None:
        """The client knows the model of ``round_index`` now, and is what ``state`` says."""
        self._members[client] = replace(self._members[client], known_round=round_index, state=state)

    def told(self, client: int, round_index: int) -> None:
        """The client was told which chunks to send in ``round_index``."""
        self._members[client] = replace(self._members[client], told_round=round_index)

    def send_model(
        self, clients: Iterable[int], model: GlobalModel, ledger: Ledger, choice_C: NDArray[np.bool_] | None = None
    ) -> dict[int, Handle]:
        """Bills each client what it must be sent; encodes once for all clients that need the same.

        With consensus a client that sent last round's chunks knows which they were: no mask goes with their means.
        """
        encoded: dict[tuple[int, bool], tuple[Handle, Encoded]] = {}
        downlinks: dict[int, Handle] = {}
        for client in clients:
            member = self._members[client]
            needs_mask = not (member.known_round == model.round_index - 1 and member.told_round == model.round_index)
            key = (member.known_round, needs_mask)
            if key not in encoded:
                message = model.message_since(member.known_round, choice_C=choice_C, with_mask=needs_mask)
                encoded[key] = self._group.put(message.payload), message
            downlinks[client], message = encoded[key]
            ledger.bill(COORDINATOR, client, message.sizes)
        return downlinks

    def send_choice(
        self, clients: Iterable[int], model: GlobalModel, round_index: int, ledger: Ledger, choice_C: NDArray[np.bool_]
    ) -> Handle:
        """Tells the clients which chunks to send; bills each of them."""
        message = encode(
            model.layout,
            model.state.weights_P,
            np.zeros_like(choice_C),
            round_index=round_index,
            sender=COORDINATOR,
            num_samples=0,
            buffers=None,
            choice_C=choice_C,
        )
        for client in clients:
            ledger.bill(COORDINATOR, client, message.sizes)
        return self._group.put(message.payload)
