"""A client actor in a federation without a coordinator's model: trains, emits, and mixes what its neighbours sent."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedchunk.actors.client.averaging import Averaging
from fedchunk.actors.client.experiment_data import ExperimentData
from fedchunk.actors.client.momentum import Momentum
from fedchunk.actors.client.stages import Stage, noting
from fedchunk.actors.client.worker import LocalWorker
from fedchunk.orchestrator.chunking.aggregation import BufferMean
from fedchunk.orchestrator.chunking.draft import Encoded
from fedchunk.orchestrator.chunking.encoding import Message
from fedchunk.orchestrator.chunking.feedback import withheld_after
from fedchunk.orchestrator.chunking.mixing import consensus_distance
from fedchunk.orchestrator.contract.evaluation import EvaluationSums
from fedchunk.orchestrator.contract.messages import ClientState, InitialModel, ModelState, Span
from fedchunk.orchestrator.contract.peer_messages import (
    AverageOrder,
    AverageReport,
    MixOrder,
    MixPeersOrder,
    MixPeersReport,
    MixReport,
    PeersOrder,
    PeersReport,
    TrainOrder,
)
from fedchunk.orchestrator.contract.reports import ClientReport, ReportRows, percentage
from fedchunk.orchestrator.core.errors import ClientFailed, PayloadError, reason_of
from fedchunk.orchestrator.learning.engines.group_trainer import TrainedGroup
from fedchunk.orchestrator.methods.exchange_rules._rule import PeerView
from fedchunk.orchestrator.methods.final_average import AverageForm
from fedchunk.orchestrator.methods.method import aggregate_of
from fedchunk.orchestrator.methods.outgoing import emit
from fedchunk.orchestrator.methods.scorer import LocalChange
from fedchunk.orchestrator.settings.joined import Sections


@dataclass(frozen=True)
class PeerTask:
    """A peer that is to train."""

    order: TrainOrder
    state: ClientState


@dataclass(frozen=True)
class Ready:
    """A peer that can train."""

    peer: PeerTask
    start: ModelState
    unheard_P: NDArray[np.float32] | None
    """What others have not heard of it before it trains."""


@dataclass(frozen=True)
class Sent:
    """What came of a peer's training."""

    report: ClientReport
    encoded: Encoded
    state: ClientState


class PeerClient:
    """Acts for peers. A round is two calls: :meth:`train_peers`, and :meth:`mix_peers` once the neighbours sent."""

    def __init__(self, settings: Sections, device: str, data: ExperimentData) -> None:
        self._worker = worker = LocalWorker(settings, device, data)
        self._method, self._spans = worker.method, worker.spans
        self._layout = worker.method.layout
        self._aggregate = aggregate_of(settings)
        self._momentum = Momentum(settings, worker)
        self._averaging = Averaging(worker.spec, AverageForm.of(settings.federation, worker.spec.num_parameters))

    def initial_model(self) -> InitialModel:
        """What everybody starts from."""
        return self._worker.initial_model()

    def device_works(self) -> bool:
        """Whether the device still answers."""
        return self._worker.device_works()

    def evaluate(self, model: ModelState, part: slice) -> tuple[EvaluationSums, tuple[Span, ...]]:
        """Measures a model on a part of the test set."""
        return self._worker.evaluate(model, part)

    def train_peers(
        self, order: PeersOrder, *states: ClientState | None
    ) -> tuple[PeersReport | NDArray[np.uint8] | ClientState | None, ...]:
        """Trains a group of peers from their own models and encodes what their neighbours get.

        Args:
            order: who, and which round.
            states: of each; None: it has no state yet.

        Returns:
            Telemetry; of each peer the payload; and of each its state before it heard of anybody. Of a peer that could
            not train both are None.
        """
        known = zip(order.peers, states, order.num_neighbours, strict=True)
        trained, failed = self._trained(
            [PeerTask(one, state or self._newcomer(number)) for one, state, number in known]
        )
        sent = {peer.order.client_id: its for peer, its in trained}
        report = PeersReport(
            ReportRows.of([its.report for its in sent.values()]) if sent else None,
            {client: its.encoded.sizes for client, its in sent.items()},
            {client: reason_of(error) for client, error in failed.items()},
            self._spans.read_out(),
        )
        everybody = [sent.get(one.client_id) for one in order.peers]
        payloads = (its.encoded.payload if its else None for its in everybody)
        return report, *payloads, *(its.state if its else None for its in everybody)

    def _trained(self, peers: Sequence[PeerTask]) -> tuple[list[tuple[PeerTask, Sent]], dict[int, ClientFailed]]:
        """Trains peers of one round, all at once where that is faster; those that could, and why others could not."""
        failed: dict[int, ClientFailed] = {}
        ready: list[Ready] = []
        for peer in peers:
            with noting(failed, peer.order, "train"):
                ready.append(self._ready(peer))
        if not ready:
            return [], failed
        starts = [one.start for one in ready]
        states = [one.peer.state for one in ready]
        clients, round_index = [one.peer.order.client_id for one in ready], ready[0].peer.order.round_index
        clock = time.perf_counter()
        momenta, homes = [state.momentum_P for state in states], [state.home for state in states]
        trained = self._worker.train(round_index, clients, starts, momenta, homes)
        train_s = (time.perf_counter() - clock) / len(ready)
        with self._spans.doing("score", len(ready)):
            changes = self._worker.changes(starts, trained, [one.unheard_P for one in ready], reuse=True)
        done: list[tuple[PeerTask, Sent]] = []
        with self._spans.doing("pack", len(ready)):
            for row, one in enumerate(ready):
                with noting(failed, one.peer.order, "emit"):
                    done.append((one.peer, self._sent(one, changes[row], trained, row, train_s)))
        return done, failed

    def _ready(self, peer: PeerTask) -> Ready:
        """Where a peer's training begins."""
        rule, state, model = self._method.rule, peer.state, _own(peer.state)
        start_P = rule.start(model.weights_P, state.withheld_P)
        start = model if start_P is model.weights_P else replace(model, weights_P=start_P)
        return Ready(peer, start, rule.unheard(state.withheld_P, state.copies))

    def _sent(self, ready: Ready, change: LocalChange, trained: TrainedGroup, row: int, train_s: float) -> Sent:
        """All that follows training: score, select, emit. Raises ClientFailed."""
        order, state, rule = ready.peer.order, ready.peer.state, self._method.rule
        round_index, client = order.round_index, order.client_id
        if row in trained.failures:
            raise ClientFailed(client, round_index, "train", trained.failures[row])
        with Stage(round_index, client, "select"):
            ages = self._worker.ages(round_index, client, state.last_sent_C)
            scores_C = self._worker.scored(change, ages)
            choice = self._worker.chosen(scores_C, ages, None)
        after = ModelState(trained.weights_GP[row], trained.buffers_GB[row], trained.counters_GI[row])
        if rule.keeps_copies:  # what others know of the peer changes when it is known what they have heard
            after = replace(after, weights_P=_own(state).weights_P)
        pending = replace(state, model=after, withheld_P=change.withheld_P, home=trained.home_of(row))
        if self._momentum.is_carried:
            pending = replace(pending, began_P=ready.start.weights_P)
        num_samples, squares_C = self._worker.num_samples(client), change.withheld_C
        whose = round_index, client, num_samples
        emission = emit(self._method, *whose, pending, choice.selected_C, stands=order.stands, squares_C=squares_C)
        report = ClientReport(
            round_index=round_index,
            client_id=client,
            num_samples=num_samples,
            train_loss=float(trained.train_loss_G[row]),
            chunks_sent=int(np.count_nonzero(choice.selected_C)),
            sensitivity_percentage=percentage(choice.selected_C),
            sensitivity_reason=choice.reason,
            residual_norm=emission.residual_norm,
            scores_C=scores_C,
            distances_C=change.distances_C,
            selected_C=choice.selected_C,
            age_C=ages.ages_C,
            train_s=train_s,
            training=trained.reason,
        )
        kept = replace(emission.state, withheld_P=pending.withheld_P) if rule.keeps_copies else emission.state
        return Sent(report, emission.encoded(), kept)

    def mix_peers(
        self, order: MixPeersOrder, *objects: ClientState | NDArray[np.uint8]
    ) -> tuple[MixPeersReport | ClientState | None, ...]:
        """Builds peers' next models from their own and their neighbours' payloads.

        Args:
            order: who, and which of the objects are whose.
            objects: states and payloads.

        Returns:
            What they say; and the new state of each, None of one that could not mix.
        """
        failed: dict[int, ClientFailed] = {}
        reports: dict[int, MixReport] = {}
        mixed: dict[int, ClientState] = {}
        for peer, at in zip(order.peers, order.objects, strict=True):
            with noting(failed, peer.train, "mix"):
                state: Any = None if at.state is None else objects[at.state]
                payloads: list[Any] = [objects[place] for place in at.payloads]
                client = peer.train.client_id
                reports[client], mixed[client] = self._mix(peer, state, payloads)
        reasons = {client: reason_of(error) for client, error in failed.items()}
        states = (mixed.get(peer.train.client_id) for peer in order.peers)
        return MixPeersReport(reports, reasons, self._spans.read_out()), *states

    def _mix(
        self, order: MixOrder, state: ClientState | None, payloads: Sequence[NDArray[np.uint8]]
    ) -> tuple[MixReport, ClientState]:
        """One peer's next model. Its own payload is among those that it is handed, because what it has told the others
        is what can be decoded of it; where it is not, the peer could not train and hears only."""
        at = order.train.round_index, order.train.client_id
        with self._spans.doing("aggregate", 1):
            messages: dict[int, Message] = {}
            refused: dict[int, str] = {}
            for sender, payload in zip(order.senders, payloads, strict=True):
                try:
                    stands = sender not in order.newcomers
                    messages[sender], _ = self._worker.verifier.update(at[0], sender, payload, None, stands=stands)
                except PayloadError as error:
                    refused[sender] = error.reason
            mixed = self._mixed(order, state or self._newcomer(len(order.neighbours)), messages)
        measured = None
        if order.evaluate:
            with self._spans.doing("evaluate", 1), Stage(*at, "evaluate"):
                measured = self._worker.measured(at[1], _own(mixed), mixed.home)
        return MixReport(refused, measured), mixed

    def mean_and_consensus(self, *states: ClientState) -> tuple[float, ModelState]:
        """How far the peers' models are from each other, and their mean."""
        models = [_own(state) for state in states]
        distance = consensus_distance([model.weights_P for model in models])
        total_P = np.zeros(self._layout.num_parameters)
        buffers = BufferMean(self._worker.spec.num_float_buffers, self._worker.spec.num_integer_buffers)
        for model in models:
            total_P += model.weights_P
            buffers.add(model.buffers_B, model.counters_I, 1.0)
        return distance, ModelState((total_P / len(states)).astype(np.float32), *buffers.mean())

    def average_up(
        self, order: AverageOrder, state: ClientState | None, *payloads: NDArray[np.uint8]
    ) -> tuple[AverageReport, NDArray[np.uint8]]:
        """The mean of a peer's model and of those below it in the tree: its bytes by kind, and the message.

        A whole model travels, so what neighbours have not heard counts as it would in the peer's next training.
        """
        state = state or self._newcomer(order.num_neighbours)
        own = _own(state)
        with self._spans.doing("aggregate", 1), Stage(order.round_index, order.client_id, "average"):
            own = replace(own, weights_P=self._method.rule.start(own.weights_P, state.withheld_P))
            encoded = self._averaging.up(order, own, payloads)
        return AverageReport(encoded.sizes, None, None, self._spans.read_out()), encoded.payload

    def average_down(
        self, order: AverageOrder, state: ClientState | None, payload: NDArray[np.uint8]
    ) -> tuple[AverageReport, ClientState]:
        """The peer with the mean of all as its model."""
        state = state or self._newcomer(order.num_neighbours)
        with self._spans.doing("aggregate", 1), Stage(order.round_index, order.client_id, "average"):
            model = self._averaging.down(order, _own(state), payload)
        whole = own = None
        if order.evaluate or self._worker.keeps_own_tests:
            with self._spans.doing("evaluate", 1), Stage(order.round_index, order.client_id, "evaluate"):
                its = self._worker.whole(model, state.home)
                whole = self._worker.measured_on_all(its) if order.evaluate else None
                own = self._worker.measured_on_own(order.client_id, its)
        return AverageReport({}, whole, own, self._spans.read_out()), replace(state, model=model)

    def _newcomer(self, num_neighbours: int) -> ClientState:
        """A peer before its first round: all make the same first model from the seed."""
        never_C = np.zeros(self._layout.num_chunks, np.int32)
        start = self._worker.start
        return ClientState(start, never_C, copies=self._method.rule.first_copies(start.weights_P, num_neighbours))

    def _mixed(self, order: MixOrder, state: ClientState, messages: dict[int, Message]) -> ClientState:
        me = order.train.client_id
        heard = {sender: message for sender, message in messages.items() if sender != me}
        own_P = _own(state).weights_P
        model = ModelState(own_P, *self._mixed_buffers(me, state, heard))
        view = PeerView(
            client_id=me,
            own_P=own_P,
            messages=messages,
            neighbours=order.neighbours,
            trust=order.weights,
            weight_of=self._worker.weight,
            copies=state.copies,
            layout=self._layout,
            aggregate=self._aggregate,
        )
        rule, withheld_P = self._method.rule, state.withheld_P
        weights_P, copies = rule.mix(view)
        if rule.keeps_copies and withheld_P is not None and (sent := messages.get(me)) is not None:
            withheld_P = withheld_after(withheld_P, sent.mask_C, sent.values, self._layout)
        mixed = replace(state, model=replace(model, weights_P=weights_P), withheld_P=withheld_P, copies=copies)
        return self._momentum.followed_up(order.train, mixed, rule.start(weights_P, withheld_P))

    def _mixed_buffers(
        self, me: int, state: ClientState, heard: dict[int, Message]
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Mean of the buffers over the peer and those it heard, in order of clients."""
        mean = BufferMean(self._worker.spec.num_float_buffers, self._worker.spec.num_integer_buffers)
        own = _own(state).buffers_B, _own(state).counters_I
        for client in sorted([me, *heard]):
            buffers_B, counters_I = own if client == me else (heard[client].buffers_B, heard[client].counters_I)
            assert buffers_B is not None
            assert counters_I is not None
            mean.add(buffers_B, counters_I, self._worker.weight(client))
        return mean.mean()


def _own(state: ClientState) -> ModelState:
    """A peer's own model: nobody else has it, so it is always kept."""
    assert state.model is not None
    return state.model
