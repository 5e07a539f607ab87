"""What a call about groups of clients brings, as one typed value."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.chunking.encoding import Message
from fedchunk.orchestrator.contract.messages import ClientState, ClientStates, GroupOrder, KnownToAll, ModelState

Payload = NDArray[np.uint8]
_Key = int | tuple[tuple[int, ...], bytes | None]
_Told = tuple[tuple[Message, ...], ModelState | None, NDArray[np.bool_] | None, NDArray[np.bool_] | None]
StateObject = Sequence[ClientStates]
"""What one earlier call returned: the states of its groups."""


@dataclass(frozen=True)
class ClientTask:
    """A client whose turn it is."""

    round_index: int
    client_id: int
    state: ClientState | None
    messages: tuple[Message, ...]
    """What brings it up to date, in order; nothing where it is given what that comes to."""
    known: ModelState | None
    """What its messages come to, but for the chunks ``own_C``; None where it gets the messages."""
    own_C: NDArray[np.bool_] | None
    """The chunks of ``known`` that stay its own; None: none of them."""
    choice_C: NDArray[np.bool_] | None
    """The chunks that it is told to send, if it is told."""
    missed: int
    """Rounds since it last took part; 0 where it never did."""
    affordable_bytes: int | None
    stands: bool
    """Whether it took part before: its connection to the coordinator stands, in both directions."""


@dataclass(frozen=True)
class GroupTask:
    """The order of a call, with the coordinator's messages and the clients' states that it names.

    Ray hands references over only where they are arguments of their own: so they arrive one by one, and are put
    together here at once.
    """

    order: GroupOrder
    messages: Sequence[Payload] | KnownToAll
    states: Sequence[StateObject]
    num_chunks: int

    def missed_by(self, number: int) -> int:
        """How many rounds client ``number`` of the call has missed since it last took part."""
        last_round = self.order.last_rounds[number]
        return max(0, self.order.round_index - 1 - last_round) if last_round else 0

    def state_of(self, number: int) -> ClientState | None:
        """What the client remembers; where that is nothing else, when it last sent which chunk."""
        order = self.order
        if order.states and (at := order.states[number]):
            return self.states[at.argument][at.group].row(at.row)
        if not (last_round := order.last_rounds[number]):
            return None
        if not order.states:  # as in full exchange, where everything was sent
            return ClientState(None, np.full(self.num_chunks, last_round, np.int32))
        assert order.last_sent_KC is not None, "a client whose state is gone"
        return ClientState(None, order.last_sent_KC[number])

    def groups(
        self, opened: Callable[[Payload, NDArray[np.bool_] | None, bool], Message]
    ) -> Iterator[list[ClientTask]]:
        """The clients of each group, with what they remember and what they are told; equal messages are opened once."""
        known: dict[_Key, _Told] = {}
        number = 0
        for clients in self.order.groups:
            tasks = []
            for client in clients:
                state, stands = self.state_of(number), self.order.last_rounds[number] > 0
                told = self._told(number, state.choice_C if state else None, stands, opened, known)
                rest = self.missed_by(number), self.order.affordable_bytes, stands
                tasks.append(ClientTask(self.order.round_index, client, state, *told, *rest))
                number += 1
            yield tasks

    def _told(
        self,
        number: int,
        known_C: NDArray[np.bool_] | None,
        stands: bool,
        opened: Callable[[Payload, NDArray[np.bool_] | None, bool], Message],
        known: dict[_Key, _Told],
    ) -> _Told:
        """A client's messages, or what they come to, and the choice that is in them."""
        if isinstance(self.messages, KnownToAll):
            since = self.order.known_rounds[number]
            if since not in known:
                known[since] = (), self.messages.model, self.messages.own_C(since), self.messages.choice_C
            return known[since]
        at = self.order.messages[number]
        key = at, None if known_C is None else known_C.tobytes()
        if key not in known:
            messages = tuple(opened(self.messages[one], known_C, stands) for one in at)
            known[key] = messages, None, None, messages[-1].choice_C
        return known[key]
