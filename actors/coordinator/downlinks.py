"""What the coordinator sends its clients, and what it bills them for it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fedchunk.actors.coordinator.client_directory import ClientDirectory
from fedchunk.actors.coordinator.ledger import Ledger
from fedchunk.orchestrator.chunking.draft import Draft
from fedchunk.orchestrator.chunking.encoding import encode
from fedchunk.orchestrator.contract.messages import COORDINATOR, KnownToAll
from fedchunk.orchestrator.contract.spans import SpanRecorder
from fedchunk.orchestrator.methods.exchange_rules._rule import GlobalModel


@dataclass(frozen=True)
class DownlinkBatch:
    """What clients are sent."""

    messages: Sequence[NDArray[np.uint8]] | KnownToAll
    """One run of bytes each; or what they come to, where nobody has to open them."""
    of: Mapping[int, tuple[int, ...]]
    """Which messages are whose, in their order."""


class Downlinks:
    """The coordinator's messages."""

    def __init__(self, clients: ClientDirectory, spans: SpanRecorder, *, written: bool) -> None:
        """``written``: every message is written and opened, also where it is known what it comes to."""
        self._clients = clients
        self._spans = spans
        self._written = written

    def of_model(
        self,
        clients: Collection[int],
        model: GlobalModel,
        ledger: Ledger,
        choice_C: NDArray[np.bool_] | None = None,
    ) -> tuple[DownlinkBatch, Callable[[], None]]:
        """What clients must be sent of a model; and what bills it, where nobody has to wait for that.

        Where they come to one model the clients are given that, and the messages are counted meanwhile.
        """
        known = None if self._written else model.known_to_all
        if known is None:
            with self._spans.doing("pack", len(clients)):
                drafts, of = self._bill(clients, model, ledger, choice_C)
                payloads = [draft.encoded().over(stands=stands).payload for draft, stands in drafts]
            return DownlinkBatch(payloads, of), lambda: None

        def bill() -> None:
            with self._spans.doing("pack", len(clients)):
                self._bill(clients, model, ledger, choice_C)

        return DownlinkBatch(replace(known, choice_C=choice_C), {}), bill

    def of_choice(
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

    def _bill(
        self, clients: Iterable[int], model: GlobalModel, ledger: Ledger, choice_C: NDArray[np.bool_] | None
    ) -> tuple[list[tuple[Draft, bool]], dict[int, tuple[int, ...]]]:
        """The messages, and whether their connection stands; and which of them are whose.

        With consensus a client that sent last round's chunks knows which they were: no mask goes with their means.
        """
        messages: list[tuple[Draft, bool]] = []
        receivers: list[list[int]] = []
        known: dict[tuple[int, bool, bool], tuple[int, ...]] = {}
        equal: dict[bytes, tuple[int, ...]] = {}
        of: dict[int, tuple[int, ...]] = {}
        for client in clients:
            entry = self._clients.entry(client)
            needs_mask = not (entry.known_round == model.round_index - 1 and entry.told_round == model.round_index)
            stands = self._clients.stands(client)
            key = (entry.known_round, needs_mask, stands)
            if key not in known:
                # Clients that missed more rounds need the same as soon as every chunk has changed since.
                told = model.message_key(entry.known_round) + bytes([needs_mask, stands])
                if told not in equal:
                    sent = model.messages_since(entry.known_round, choice_C=choice_C, with_mask=needs_mask)
                    equal[told] = tuple(range(len(messages), len(messages) + len(sent)))
                    messages.extend((message, stands) for message in sent)
                    receivers.extend([] for _ in sent)
                known[key] = equal[told]
            of[client] = known[key]
            for at in of[client]:
                receivers[at].append(client)
        for (message, stands), its in zip(messages, receivers, strict=True):
            ledger.bill_all(COORDINATOR, its, message.sizes(stands=stands))
        return messages, of
