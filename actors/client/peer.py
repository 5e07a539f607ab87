"""A client actor in a federation without a coordinator's model: trains, emits, and mixes what its neighbours sent."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
from fedchunk.actors.client.stages import stage
from fedchunk.actors.client.worker import LocalWorker
from fedchunk.orchestrator.chunking.aggregation import BufferMean
from fedchunk.orchestrator.chunking.encoding import Message
from fedchunk.orchestrator.chunking.mixing import (
    Contribution,
    Receiver,
    consensus_distance,
    mean_with_neighbours,
    mix_own_weights,
    mix_stale_copies,
    update_copy,
)
from fedchunk.orchestrator.contract.messages import (
    ClientState,
    MixOrder,
    MixReport,
    ModelState,
    PeerReport,
    TrainOrder,
)
from fedchunk.orchestrator.contract.reports import ClientReport
from fedchunk.orchestrator.core.errors import ClientFailed, PayloadError
from fedchunk.orchestrator.methods.exchange import choose, client_weight
from fedchunk.orchestrator.methods.exchange_rules.outgoing import emit
from numpy.typing import NDArray


class PeerClient(LocalWorker):
    """Acts for peers. A round is two calls: :meth:`train_peer`, and :meth:`mix_peer` once the neighbours sent."""

    def train_peer(
        self, order: TrainOrder, num_neighbours: int, state: ClientState | None
    ) -> tuple[PeerReport, NDArray[np.uint8], ClientState]:
        """Trains a peer from its own model and encodes what its neighbours get.

        Returns:
            Telemetry, the payload, and the peer's state before it heard of anybody.
        """
        chunking, client = self._settings.chunking, order.client_id
        state = state or self._newcomer(num_neighbours)
        model = _own(state)
        with stage(order.round_index, client, "train"):
            clock = time.perf_counter()
            trained = self._train(order.round_index, [client], [model])
            train_s = time.perf_counter() - clock
            if 0 in trained.failures:
                raise ClientFailed(client, order.round_index, "train", trained.failures[0])
        with self._diary.doing("score", 1), stage(order.round_index, client, "select"):
            (change,) = self._changes([model], trained, [state.withheld_P])
            if state.copies:
                change = replace(change, withheld_P=change.after_P - state.copies[0])
            ages = self._ages(order.round_index, client, state.last_sent_C)
            scores_C, distances_C = self._scored(client, change, ages)
            choice = choose(chunking, scores_C, ages, None)
        with self._diary.doing("pack", 1), stage(order.round_index, client, "emit"):
            after = ModelState(trained.weights_GP[0], trained.buffers_GB[0], trained.counters_GI[0])
            pending = ClientState(after, state.last_sent_C, change.withheld_P, copies=state.copies)
            num_samples = self._num_samples(client)
            emission = emit(chunking, self._layout, order.round_index, client, num_samples, pending, choice.selected_C)
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
        kept = replace(emission.state, withheld_P=None) if state.copies else emission.state
        return PeerReport(report, emission.encoded.sizes, self._diary.read_out()), emission.encoded.payload, kept

    def mix_peer(
        self, order: MixOrder, state: ClientState, *payloads: NDArray[np.uint8]
    ) -> tuple[MixReport, ClientState]:
        """Builds a peer's next model from its own and its neighbours' payloads.

        Args:
            order: whose payloads these are, in order of clients; the peer's own is among them, because what it has
                told the others is what can be decoded of it.
            state: the peer after its training.
            payloads: as they were sent.

        Returns:
            Which payloads were refused and why, with the model's score when it was asked for; and the new state.
        """
        at = order.train.round_index, order.train.client_id
        with self._diary.doing("aggregate", 1), stage(*at, "mix"):
            messages: dict[int, Message] = {}
            refused: dict[int, str] = {}
            for sender, payload in zip(order.senders, payloads, strict=True):
                try:
                    messages[sender] = self._intake.update(order.train.round_index, sender, payload, None)
                except PayloadError as error:
                    refused[sender] = error.reason
            mixed = self._mixed(order, state, messages)
        sums = None
        if order.evaluate:
            with self._diary.doing("evaluate", 1), stage(*at, "evaluate"):
                sums = self._evaluate_whole(_own(mixed))
        return MixReport(refused, sums, self._diary.read_out()), mixed

    def mean_and_consensus(self, *states: ClientState) -> tuple[float, ModelState]:
        """How far the peers' models are from each other, and their mean."""
        models = [_own(state) for state in states]
        distance = consensus_distance([model.weights_P for model in models])
        total_P = np.zeros(self._layout.num_parameters)
        buffers = BufferMean(self._model.spec.num_float_buffers, self._model.spec.num_integer_buffers)
        for model in models:
            total_P += model.weights_P
            buffers.add(model.buffers_B, model.counters_I, 1.0)
        return distance, ModelState((total_P / len(states)).astype(np.float32), *buffers.mean())

    def _newcomer(self, num_neighbours: int) -> ClientState:
        """A peer before its first round: all make the same first model from the seed."""
        never_C = np.zeros(self._layout.num_chunks, np.int32)
        stale = self._settings.chunking.keeps_copies
        copies = (self._start.weights_P,) * (1 + num_neighbours) if stale else ()
        return ClientState(self._start, never_C, copies=copies)

    def _mixed(self, order: MixOrder, state: ClientState, messages: dict[int, Message]) -> ClientState:
        me = order.train.client_id
        heard = {sender: message for sender, message in messages.items() if sender != me}
        own_P = _own(state).weights_P
        model = ModelState(own_P, *self._mixed_buffers(me, state, heard))
        if self._settings.chunking.keeps_copies:
            return self._mixed_copies(order, state, messages, model)
        receiver = Receiver(me, own_P, self._weight(me))
        contributions = [
            Contribution(sender, message.mask_C, message.values, self._weight(sender))
            for sender, message in heard.items()
        ]
        literally = self._settings.chunking.chunking and self._settings.chunking.chunk_reconstruction == "own_weights"
        mix = mix_own_weights if literally else mean_with_neighbours
        return replace(state, model=replace(model, weights_P=mix(receiver, contributions, self._layout)))

    def _mixed_copies(
        self, order: MixOrder, state: ClientState, messages: dict[int, Message], model: ModelState
    ) -> ClientState:
        """Brings the copies up to date, the peer's own first, and takes a step towards the neighbours'."""
        clients = [order.train.client_id, *order.neighbours]
        copies = tuple(
            update_copy(copy_P, messages[client].mask_C, messages[client].values, self._layout)
            if client in messages
            else copy_P
            for client, copy_P in zip(clients, state.copies, strict=True)
        )
        step = self._settings.chunking.stale_copy_step
        weights_P = mix_stale_copies(model.weights_P, copies[0], copies[1:], order.weights, step)
        return replace(state, model=replace(model, weights_P=weights_P), copies=copies)

    def _mixed_buffers(
        self, me: int, state: ClientState, heard: dict[int, Message]
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Mean of the buffers over the peer and those it heard, in order of clients."""
        mean = BufferMean(self._model.spec.num_float_buffers, self._model.spec.num_integer_buffers)
        own = _own(state).buffers_B, _own(state).counters_I
        for client in sorted([me, *heard]):
            buffers_B, counters_I = own if client == me else (heard[client].buffers_B, heard[client].counters_I)
            assert buffers_B is not None
            assert counters_I is not None
            mean.add(buffers_B, counters_I, self._weight(client))
        return mean.mean()

    def _weight(self, client: int) -> float:
        return client_weight(self._settings.federation, self._num_samples(client))


def _own(state: ClientState) -> ModelState:
    """A peer's own model: nobody else has it, so it is always kept."""
    assert state.model is not None
    return state.model
