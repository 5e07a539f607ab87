"""What a call about groups of clients brings, as one typed value."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.chunking.encoding import Message
from fedchunk.orchestrator.contract.messages import ClientState, ClientStates, GroupOrder

Payload = NDArray[np.uint8]
StateObject = Sequence[ClientStates]
"""What one earlier call returned: the states of its groups."""


@dataclass(frozen=True)
class ClientTask:
    """A client whose turn it is."""

    round_index: int
    client_id: int
    state: ClientState | None
    message: Message
    affordable_bytes: int | None


@dataclass(frozen=True)
class GroupTask:
    """The order of a call, with the coordinator's messages and the clients' states that it names.

    Ray hands references over only where they are arguments of their own: so they arrive one by one, and are put
    together here at once.
    """

    order: GroupOrder
    messages: Sequence[Payload]
    states: Sequence[StateObject]
    num_chunks: int

    def message_of(self, number: int) -> int:
        """Which message is for client ``number`` of the call."""
        return self.order.messages[number]

    def state_of(self, number: int) -> ClientState | None:
        """What the client remembers; where clients keep nothing, when it last sent everything."""
        if self.order.states:
            at = self.order.states[number]
            return self.states[at.argument][at.group].row(at.row) if at else None
        last_round = self.order.last_rounds[number]
        return ClientState(None, np.full(self.num_chunks, last_round, np.int32)) if last_round else None

    def groups(self, opened: Callable[[Payload, NDArray[np.bool_] | None], Message]) -> Iterator[list[ClientTask]]:
        """The clients of each group, with what they remember and what they are told; equal messages are opened once."""
        known: dict[tuple[int, bytes | None], Message] = {}
        number = 0
        for clients in self.order.groups:
            tasks = []
            for client in clients:
                at, state = self.message_of(number), self.state_of(number)
                known_C = state.choice_C if state else None
                key = at, None if known_C is None else known_C.tobytes()
                if key not in known:
                    known[key] = opened(self.messages[at], known_C)
                order = self.order
                tasks.append(ClientTask(order.round_index, client, state, known[key], order.affordable_bytes))
                number += 1
            yield tasks
