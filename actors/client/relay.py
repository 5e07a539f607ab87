"""A client actor of peers that hand every message on to all: trains from the shared model, and adds what all have.

All peers share one model and add the same messages to it, so one of them does it for all: what an actor adds up here
is what each peer would.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fedchunk.actors.client.experiment_data import ExperimentData
from fedchunk.actors.client.group_task import StateObject
from fedchunk.actors.client.peer import PeerClient, PeerTask
from fedchunk.actors.client.stages import Stage, noting
from fedchunk.actors.client.states import stack_states
from fedchunk.actors.payloads import outliers
from fedchunk.actors.payloads.group_sum import GroupSum
from fedchunk.orchestrator.chunking.aggregation import RoundSum
from fedchunk.orchestrator.chunking.encoding import decode, encode
from fedchunk.orchestrator.chunking.header import Expected
from fedchunk.orchestrator.contract.evaluation import EvaluationSums, Measured
from fedchunk.orchestrator.contract.messages import (
    ClientState,
    GroupAnswer,
    GroupResult,
    ModelState,
    Span,
    StatePlace,
)
from fedchunk.orchestrator.contract.peer_messages import RelayOrder, RelaySum, TrainOrder
from fedchunk.orchestrator.contract.reports import ReportRows
from fedchunk.orchestrator.core.errors import ClientFailed, reason_of
from fedchunk.orchestrator.methods.method import reconstruct
from fedchunk.orchestrator.settings.joined import Sections

Payload = NDArray[np.uint8]


class RelayClient(PeerClient):
    """Acts for peers, as :class:`PeerClient`; of a peer's own there is only what it withholds."""

    def __init__(self, settings: Sections, device: str, data: ExperimentData) -> None:
        super().__init__(settings, device, data)
        self._spec = self._worker.spec
        self._ratio = settings.federation.max_update_ratio

    def train_relay(
        self, order: RelayOrder, known: ModelState | None, missed: Payload | None, *states: StateObject
    ) -> tuple[GroupAnswer, tuple[Payload, ...], StateObject]:
        """Trains a group of peers from the shared model and encodes what everybody gets of each.

        Args:
            order: who, and which round.
            known: the shared model as these peers know it; None for the first.
            missed: what changed since, of peers that were away.
            states: the objects with what else they remember.

        Returns:
            Reports; the payloads of all that answered, in order; and what these remember once everybody has them.
        """
        round_index, first = order.peers[0].round_index, order.peers[0].client_id
        with self._spans.doing("fetch", len(order.peers)), Stage(round_index, first, "reconstruct"):
            shared = self._caught_up(known or self._worker.start, order.missed, missed)
        failed: dict[int, ClientFailed] = {}
        peers: list[PeerTask] = []
        for one, at in zip(order.peers, order.states, strict=True):
            with noting(failed, one, "reconstruct"):
                peers.append(self._task(one, states[at.argument][at.group].row(at.row) if at else None, shared))
        trained, not_trained = self._trained(peers)
        rows = ReportRows.of([sent.report for _, sent in trained]) if trained else None
        reasons = {client: reason_of(error) for client, error in (failed | not_trained).items()}
        kept = [
            self._momentum.to_follow_up(replace(sent.state, model=None), peer.state.momentum_P, shared)
            for peer, sent in trained
        ]
        answer = GroupAnswer((GroupResult(rows, reasons, {}, {}, None),), self._spans.read_out())
        return answer, tuple(sent.encoded.payload for _, sent in trained), (stack_states(kept),)

    def _task(self, order: TrainOrder, state: ClientState | None, shared: ModelState) -> PeerTask:
        """A peer with the shared model as its own."""
        momentum_P = self._momentum.of(order.client_id, order.round_index, order.rounds, state, shared)
        before = state or ClientState(None, np.zeros(self._layout.num_chunks, np.int32))
        return PeerTask(order, replace(before, model=shared, momentum_P=momentum_P))

    def add_messages(
        self,
        round_index: int,
        places: Mapping[int, StatePlace],
        newcomers: frozenset[int],
        shared: ModelState | None,
        *payloads: tuple[Payload, ...],
    ) -> tuple[RelaySum, ModelState]:
        """The shared model after a round, from everybody's messages.

        Args:
            round_index: the round.
            places: the senders, ascending, and where each one's message is: which of ``payloads``, and where in it.
            newcomers: those whose message has never counted before.
            shared: the model before; None for the first.
            payloads: of each group those that its peers sent.
        """
        before = shared or self._worker.start
        with self._spans.doing("aggregate", len(places)):
            sent = [(sender, payloads[at.argument][at.row]) for sender, at in places.items()]
            checked, total = self._checked(round_index, sent, newcomers, None)
            unread = frozenset(checked.rejected)
            most = outliers.bound(checked.largest, self._ratio)
            if most is not None:  # which nobody knows before all have been heard
                checked, total = self._checked(round_index, sent, newcomers, most)
            after = self._method.rule.shared_after(before, total) if total.weight else before
        sent_C = total.chunks.sent_C
        return RelaySum(checked.sizes, checked.rejected, unread, sent_C, self._spans.read_out()), after

    def _checked(
        self,
        round_index: int,
        sent: Sequence[tuple[int, Payload]],
        newcomers: frozenset[int],
        most_a_unit: float | None,
    ) -> tuple[GroupSum, RoundSum]:
        spec = self._spec
        total = RoundSum(self._layout, spec.num_float_buffers, spec.num_integer_buffers, rule=self._aggregate)
        checked = GroupSum(self._layout, spec, self._worker.verifier, self._worker.weight, total)
        checked.add(round_index, sent, most_a_unit=most_a_unit, newcomers=newcomers)
        return checked, total

    def changed_since(
        self, said: Expected, shared: ModelState, changed_C: NDArray[np.bool_]
    ) -> tuple[dict[str, int], Payload]:
        """What a peer that was away is sent: the chunks that changed meanwhile, every bit of them.

        Args:
            said: the last round that is in the shared model, and the peer that has it.
            shared: the model.
            changed_C: the chunks.

        Returns:
            The payload's bytes by kind, and the payload.
        """
        encoded = encode(
            self._layout,
            shared.weights_P,
            changed_C,
            round_index=said.origin.round_index,
            sender=said.origin.sender,
            num_samples=said.origin.num_samples,
            buffers=(shared.buffers_B, shared.counters_I),
        ).over(stands=said.stands)
        return encoded.sizes, encoded.payload

    def evaluate_own(
        self, shared: ModelState, clients: tuple[int, ...]
    ) -> tuple[Mapping[int, EvaluationSums], tuple[Span, ...]]:
        """Measures the shared model on the samples that are kept of each of some peers; of those that have any."""
        with self._spans.doing("evaluate", len(clients)):
            sums = {client: self._worker.measured_on_own(client, shared) for client in clients}
        return {client: own for client, own in sums.items() if own is not None}, self._spans.read_out()

    def evaluate_peer(
        self, client: int, shared: ModelState, states: StateObject, group: int, row: int
    ) -> tuple[Measured, tuple[Span, ...]]:
        """Measures the shared model with what stays with a peer, whose state is a row of a group's."""
        with self._spans.doing("evaluate", 1):
            measured = self._worker.measured(client, shared, states[group].row(row).home)
        return measured, self._spans.read_out()

    def shared_model(self, shared: ModelState) -> ModelState:
        """The model itself, for whoever wants to keep it."""
        return shared

    def _caught_up(self, known: ModelState, expected: Expected | None, missed: Payload | None) -> ModelState:
        if missed is None:
            return known
        assert expected is not None, "a message that nobody said anything of"
        message = decode(missed, self._layout, expected, self._spec.num_float_buffers, self._spec.num_integer_buffers)
        return reconstruct(known, message, self._layout)
