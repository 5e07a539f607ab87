"""A client actor in a federation without a coordinator's model: trains, emits, and mixes what its neighbours sent."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from actors.client import Client
from actors.emission import emit
from actors.experiment_data import Partition
from actors.intake import Intake
from actors.stages import Clock, stage
from orchestrator.chunking.aggregation import BufferMean
from orchestrator.chunking.encoding import Message
from orchestrator.chunking.mixing import (
    Contribution,
    Receiver,
    consensus_distance,
    mean_with_neighbours,
    mix_own_weights,
    mix_stale_copies,
    update_copy,
)
from orchestrator.errors import PayloadError
from orchestrator.exchange import Ages, choose, measure_distances, score
from orchestrator.learning.data import Dataset
from orchestrator.messages import (
    ClientReport,
    ClientState,
    MixOrder,
    MixReport,
    ModelState,
    TrainOrder,
)
from orchestrator.seeds import generator
from orchestrator.settings import Settings


class PeerClient(Client):
    """Hands for peers. A round is two calls: :meth:`train_peer`, and :meth:`mix_peer` once the neighbours sent."""

    def __init__(self, settings: Settings, device: str, dataset: Dataset, partition: Partition) -> None:
        super().__init__(settings, device, dataset, partition)
        self._start = self._model.state()
        self._intake = Intake(settings.chunking, self._layout, self._model.spec, partition.sizes)
        self._scaled = settings.federation.aggregation_sample_scaling

    def train_peer(
        self, order: TrainOrder, num_neighbours: int, state: ClientState | None
    ) -> tuple[ClientReport, dict[str, int], NDArray[np.uint8], ClientState]:
        """Trains a peer from its own model and encodes what its neighbours get.

        Returns:
            Telemetry, the payload's bytes by kind, the payload, and the peer's state before it heard of anybody.
        """
        chunking, clock = self._settings.chunking, Clock()
        state = state or self._newcomer(num_neighbours)
        with stage(order, "train"):
            result, after = self._train(order, state.model)
            clock.lap("train_s")
        with stage(order, "select"):
            change = self._change(state.model, after, result, state)
            if state.copies:
                change = replace(change, withheld_P=after.weights_P - state.copies[0])
            first = order.client_id * self._layout.num_chunks // self._settings.federation.number_of_clients
            ages = Ages(order.round_index, np.int32(order.round_index - 1) - state.last_sent_C, first)
            for_records = self._settings.tracking.record_chunks
            distances_C = measure_distances(chunking, self._layout, change, for_records=for_records)
            rng = generator(self._settings.federation.random_seed, "selection", order.round_index, order.client_id)
            scores_C = score(chunking, self._layout, change, distances_C, ages, rng)
            choice = choose(chunking, scores_C, ages, None)
            clock.lap("select_s")
        with stage(order, "emit"):
            num_samples = len(self._partition.samples_of(order.client_id))
            pending = ClientState(after, state.last_sent_C, change.withheld_P, copies=state.copies)
            emission = emit(chunking, self._layout, order, num_samples, pending, choice.selected_C)
            clock.lap("emit_s")
        report = self._report(
            order,
            result,
            choice,
            scores_C,
            distances_C,
            ages,
            emission.residual_norm,
            {"reconstruct_s": 0.0} | clock.laps,
        )
        kept = replace(emission.state, withheld_P=None) if state.copies else emission.state
        return report, emission.encoded.sizes, emission.encoded.payload, kept

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
        with stage(order.train, "mix"):
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
            with stage(order.train, "evaluate"):
                sums = self._evaluate_whole(mixed.model)
        return MixReport(refused, sums), mixed

    def survey(self, *states: ClientState) -> tuple[float, ModelState]:
        """How far the peers' models are from each other, and their mean."""
        distance = consensus_distance([state.model.weights_P for state in states])
        total_P = np.zeros(self._layout.num_parameters)
        buffers = BufferMean(self._model.spec.num_float_buffers, self._model.spec.num_integer_buffers)
        for state in states:
            total_P += state.model.weights_P
            buffers.add(state.model.buffers_B, state.model.counters_I, 1.0)
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
        model = ModelState(state.model.weights_P, *self._mixed_buffers(me, state, heard))
        if self._settings.chunking.keeps_copies:
            return self._mixed_copies(order, state, messages, model)
        receiver = Receiver(me, state.model.weights_P, self._weight(me))
        contributions = [
            Contribution(sender, message.mask_C, message.values, self._weight(sender))
            for sender, message in heard.items()
        ]
        own = self._settings.chunking.chunking and self._settings.chunking.chunk_reconstruction == "own_weights"
        mix = mix_own_weights if own else mean_with_neighbours
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
        weights_P = mix_stale_copies(state.model.weights_P, copies[0], copies[1:], order.weights, step)
        return replace(state, model=replace(model, weights_P=weights_P), copies=copies)

    def _mixed_buffers(
        self, me: int, state: ClientState, heard: dict[int, Message]
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Mean of the buffers over the peer and those it heard, in order of clients."""
        mean = BufferMean(self._model.spec.num_float_buffers, self._model.spec.num_integer_buffers)
        own = state.model.buffers_B, state.model.counters_I
        for client in sorted([me, *heard]):
            buffers_B, counters_I = own if client == me else (heard[client].buffers_B, heard[client].counters_I)
            assert buffers_B is not None
            assert counters_I is not None
            mean.add(buffers_B, counters_I, self._weight(client))
        return mean.mean()

    def _weight(self, client: int) -> float:
        return float(len(self._partition.samples_of(client))) if self._scaled else 1.0
