"""From groups of clients to calls: whole groups share a call, and everything that a call needs is sent once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain, count

from fedchunk.actors.coordinator.client_directory import ClientDirectory
from fedchunk.actors.coordinator.downlinks import DownlinkBatch
from fedchunk.actors.coordinator.places import arguments, nearest
from fedchunk.orchestrator.contract.messages import GroupOrder, KnownToAll
from fedchunk.orchestrator.contract.ports import Call, ClientGroup, Handle, Job
from fedchunk.orchestrator.methods import grouping
from fedchunk.orchestrator.methods.grouping import Group
from fedchunk.orchestrator.methods.method import adds_up, keeps_states
from fedchunk.orchestrator.settings.whole import Settings

Batch = tuple[Group, ...]
"""The groups of one call."""


def remaining(batch: Batch, clients: Mapping[int, str]) -> Batch:
    """A call without some of its clients, and without groups that are empty then."""
    groups = (tuple(client for client in group if client not in clients) for group in batch)
    return tuple(group for group in groups if group)


class Dispatch:
    """Builds the calls of a star."""

    def __init__(
        self,
        settings: Settings,
        clients: ClientDirectory,
        num_parameters: int,
        group: ClientGroup,
        samples_per_client: Sequence[int],
    ) -> None:
        self._samples = samples_per_client
        self._federation = settings.federation
        self._clients_per_call = settings.runtime.clients_per_call
        self._clients = clients
        self._num_parameters = num_parameters
        self._group = group
        # A message that goes to several clients is several messages: where bytes are counted, each is sent.
        self._one_each = settings.runtime.transport == "tcp"
        # Clients wait to be told what to send, bytes are counted, or a sum is not enough: then payloads come here.
        self._sums = not self._one_each and not settings.chunking.agrees and adds_up(settings)
        self._with_states = keeps_states(settings)
        self._shared: tuple[DownlinkBatch, Handle] | None = None

    @property
    def writes_messages(self) -> bool:
        """Whether every message is written and opened, also where it is known what it comes to."""
        return self._one_each

    def groups(self, cohort: Sequence[int]) -> tuple[Group, ...]:
        """The groups of a cohort; the settings alone shape them."""
        return grouping.groups(cohort, self._federation, self._num_parameters)

    def batches(self, all_groups: Sequence[Group]) -> list[Batch]:
        """Which groups share a call."""
        return grouping.calls(all_groups, self._clients_per_call, self._num_parameters, self._group.size)

    def call(
        self,
        key: int,
        job: Job,
        round_index: int,
        batch: Batch,
        downlinks: DownlinkBatch,
        affordable_bytes: int | None = None,
        most_a_unit: float | None = None,
    ) -> Call:
        """A call for ``job`` about a batch: the order, all messages, and the objects with the clients' states."""
        clients = list(chain(*batch))
        at = () if isinstance(downlinks.messages, KnownToAll) else tuple(downlinks.of[client] for client in clients)
        if self._one_each and not isinstance(downlinks.messages, KnownToAll):
            messages: Handle = tuple(downlinks.messages[one] for one in chain(*at))
            numbers = count()
            at = tuple(tuple(next(numbers) for _ in one) for one in at)
        else:
            messages = self._put(downlinks)
        last_rounds = tuple(self._clients.last_round(client) for client in clients)
        known_rounds = tuple(self._clients.entry(client).known_round for client in clients)
        places = [self._clients.state(client) for client in clients] if self._with_states else []
        states, objects = arguments(places)
        summed = self._sums and any(len(group) > 1 for group in batch)
        forgotten = any(last and place is None for last, place in zip(last_rounds, places, strict=False))
        rest = affordable_bytes, summed, most_a_unit, self._clients.last_sent(clients) if forgotten else None
        order = GroupOrder(round_index, batch, at, states, last_rounds, known_rounds, *rest)
        whose, near = clients_in_words(clients), nearest(places)
        return Call(key, job, (order, messages, *objects), 2, 1, len(clients), self._work(clients), whose, near)

    def _work(self, clients: Sequence[int]) -> int:
        return sum(self._samples[client] for client in clients)

    def _put(self, downlinks: DownlinkBatch) -> Handle:
        """One object for what all clients of a round are sent, shared by its calls."""
        if self._shared is None or self._shared[0] is not downlinks:
            messages = downlinks.messages
            self._shared = downlinks, self._group.put(messages if isinstance(messages, KnownToAll) else tuple(messages))
        return self._shared[1]


def clients_in_words(clients: Sequence[int]) -> str:
    """Clients in words, a few of them.

    Example:
        >>> clients_in_words([3]), clients_in_words([0, 1, 2, 3, 9])
        ('client 3', 'clients 0, 1, 2 and 2 more')
    """
    if len(clients) == 1:
        return f"client {clients[0]}"
    few = ", ".join(map(str, clients[:3]))
    return f"clients {few}" + (f" and {len(clients) - 3} more" if len(clients) > 3 else "")
