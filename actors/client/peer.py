"""A client actor in a federation without a coordinator's model: trains, emits, and mixes what its neighbours sent."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fedchunk.actors.client.averaging import Averaging
from fedchunk.actors.client.experiment_data import ExperimentData
from fedchunk.actors.client.momentum import Momentum
from fedchunk.actors.client.stages import stage
from fedchunk.actors.client.worker import LocalWorker
from fedchunk.orchestrator.chunking.aggregation import BufferMean
from fedchunk.orchestrator.chunking.encoding import Message
from fedchunk.orchestrator.chunking.feedback import withheld_after
from fedchunk.orchestrator.chunking.mixing import consensus_distance
from fedchunk.orchestrator.contract.evaluation import EvaluationSums
from fedchunk.orchestrator.contract.messages import (
    AverageOrder,
    AverageReport,
    ClientState,
    InitialModel,
    MixOrder,
    MixReport,
    ModelState,
    PeerReport,
    Span,
    TrainOrder,
)
from fedchunk.orchestrator.contract.reports import ClientReport
from fedchunk.orchestrator.core.errors import ClientFailed, PayloadError
from fedchunk.orchestrator.methods.exchange_rules._rule import PeerView
from fedchunk.orchestrator.methods.final_average import AverageForm
from fedchunk.orchestrator.methods.method import aggregate_of
from fedchunk.orchestrator.methods.outgoing import emit
from fedchunk.orchestrator.settings.joined import Sections


class PeerClient:
    """Acts for peers. A round is two calls: :meth:`train_peer`, and :meth:`mix_peer` once the neighbours sent."""

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

    def train_peer(
        self, order: TrainOrder, num_neighbours: int, state: ClientState | None
    ) -> tuple[PeerReport, NDArray[np.uint8], ClientState]:
        """Trains a peer from its own model and encodes what its neighbours get.

        Returns:
            Telemetry, the payload, and the peer's state before it heard of anybody.
        """
        return self._trained(order, state or self._newcomer(num_neighbours))

    def _trained(self, order: TrainOrder, state: ClientState) -> tuple[PeerReport, NDArray[np.uint8], ClientState]:
        """The same of a peer with a state."""
        client, rule, model = order.client_id, self._method.rule, _own(state)
        with stage(order.round_index, client, "train"):
            start = replace(model, weights_P=rule.start(model.weights_P, state.withheld_P))
            clock = time.perf_counter()
            trained = self._worker.train(order.round_index, [client], [start], [state.momentum_P], [state.home])
            train_s = time.perf_counter() - clock
            if 0 in trained.failures:
                raise ClientFailed(client, order.round_index, "train", trained.failures[0])
        with self._spans.doing("score", 1), stage(order.round_index, client, "select"):
            unheard_P = rule.unheard(state.withheld_P, state.copies)
            (change,) = self._worker.changes([start], trained, [unheard_P])
            ages = self._worker.ages(order.round_index, client, state.last_sent_C)
            scores_C, distances_C = self._worker.scored(change, ages)
            choice = self._worker.chosen(scores_C, ages, None)
        with self._spans.doing("pack", 1), stage(order.round_index, client, "emit"):
            after = ModelState(trained.weights_GP[0], trained.buffers_GB[0], trained.counters_GI[0])
            if rule.keeps_copies:  # what others know of the peer changes when it is known what they have heard
                after = replace(after, weights_P=model.weights_P)
            pending = replace(state, model=after, withheld_P=change.withheld_P, home=trained.home_of(0))
            if self._momentum.is_carried:
                pending = replace(pending, began_P=start.weights_P)
            num_samples = self._worker.num_samples(client)
            whose = order.round_index, client, num_samples
            squares_C = change.withheld_C
            emission = emit(self._method, *whose, pending, choice.selected_C, stands=order.stands, squares_C=squares_C)
        report = ClientReport(
            round_index=order.round_index,
            client_id=client,
            num_samples=num_samples,
            train_loss=float(trained.train_loss_G[0]),
            chunks_sent=int(choice.selected_C.sum()),
            sensitivity_percentage=100.0 * float(choice.selected_C.mean()),
            sensitivity_reason=choice.reason,
            residual_norm=emission.residual_norm,
            scores_C=scores_C,
            distances_C=distances_C,
            selected_C=choice.selected_C,
            age_C=ages.ages_C,
            train_s=train_s,
            training=trained.reason,
        )
        kept = replace(emission.state, withheld_P=pending.withheld_P) if rule.keeps_copies else emission.state
        encoded = emission.encoded()
        return PeerReport(report, encoded.sizes, self._spans.read_out()), encoded.payload, kept

    def mix_peer(
        self, order: MixOrder, state: ClientState | None, *payloads: NDArray[np.uint8]
    ) -> tuple[MixReport, ClientState]:
        """Builds a peer's next model from its own and its neighbours' payloads.

        Args:
            order: whose payloads these are, in order of clients; the peer's own is among them, because what it has
                told the others is what can be decoded of it. Where it is not, the peer could not train and hears only.
            state: the peer after its training; None: it has never trained.
            payloads: as they were sent.

        Returns:
            Which payloads were refused and why, with the model's score when it was asked for; and the new state.
        """
        at = order.train.round_index, order.train.client_id
        with self._spans.doing("aggregate", 1), stage(*at, "mix"):
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
            with self._spans.doing("evaluate", 1), stage(*at, "evaluate"):
                measured = self._worker.measured(at[1], _own(mixed), mixed.home)
        return MixReport(refused, measured, self._spans.read_out()), mixed

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
        with self._spans.doing("aggregate", 1), stage(order.round_index, order.client_id, "average"):
            own = replace(own, weights_P=self._method.rule.start(own.weights_P, state.withheld_P))
            encoded = self._averaging.up(order, own, payloads)
        return AverageReport(encoded.sizes, None, None, self._spans.read_out()), encoded.payload

    def average_down(
        self, order: AverageOrder, state: ClientState | None, payload: NDArray[np.uint8]
    ) -> tuple[AverageReport, ClientState]:
        """The peer with the mean of all as its model."""
        state = state or self._newcomer(order.num_neighbours)
        with self._spans.doing("aggregate", 1), stage(order.round_index, order.client_id, "average"):
            model = self._averaging.down(order, _own(state), payload)
        whole = own = None
        if order.evaluate or self._worker.keeps_own_tests:
            with self._spans.doing("evaluate", 1), stage(order.round_index, order.client_id, "evaluate"):
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
