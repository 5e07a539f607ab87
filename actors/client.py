"""A client actor's work, as a plain class: reconstruct, train, score, select, emit; and evaluate.

It acts for one client after another and keeps nothing that cannot be built again: what a client remembers comes in
as :class:`ClientState` and goes out again, so any actor may take any client and a repeated call gives the same bits.
"""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from actors.emission import emit
from actors.experiment_data import Partition
from actors.stages import Clock, stage
from orchestrator.chunking.encoding import Message, decode
from orchestrator.chunking.score_message import encode_scores
from orchestrator.exchange import (
    Ages,
    Choice,
    LocalChange,
    affordable_chunks,
    choose,
    layout_for,
    measure_distances,
    reconstruct,
    score,
    starting_weights,
    withholds,
)
from orchestrator.learning.data import Dataset
from orchestrator.learning.evaluation import evaluate
from orchestrator.learning.flatten import FlatModel
from orchestrator.learning.models import build_model
from orchestrator.learning.preprocess import configure_torch, to_device
from orchestrator.learning.shards import shards
from orchestrator.learning.training import TrainingResult, train_local
from orchestrator.messages import (
    COORDINATOR,
    ClientReport,
    ClientState,
    EvaluationSums,
    InitialModel,
    ModelState,
    TrainOrder,
)
from orchestrator.seeds import generator
from orchestrator.settings import Settings


class Client:
    """Hands for clients: one model, the data set, and the methods that a coordinator calls."""

    def __init__(self, settings: Settings, device: str, dataset: Dataset, partition: Partition) -> None:
        configure_torch(settings.runtime.torch_threads, settings.training.deterministic, device)
        self._settings = settings
        self._device = torch.device(device)
        self._dataset = dataset
        self._partition = partition
        size = settings.data.transform_input_size
        channels, height, width = dataset.image_shape
        module = build_model(
            settings.training,
            (channels, size or height, size or width),
            dataset.num_classes,
            settings.federation.random_seed,
            settings.data.download,
        )
        self._model = FlatModel(module, self._device)
        self._layout = layout_for(settings.chunking, self._model.spec.num_parameters)
        self._own_start = self._model.state() if settings.federation.initial_model == "seed" else None

    def ready(self) -> int:
        """The process id, once the model stands."""
        return os.getpid()

    def initial_model(self) -> InitialModel:
        """What everybody starts from; a function of the seed, so any fresh actor gives the same."""
        return InitialModel(self._model.spec, self._model.state())

    def train(
        self, order: TrainOrder, downlink: NDArray[np.uint8], state: ClientState | None
    ) -> tuple[ClientReport, NDArray[np.uint8], ClientState]:
        """One client's part of a round.

        Args:
            order: which client, which round.
            downlink: the encoded message from the coordinator.
            state: what the client remembers; None before it ever took part.

        Returns:
            Telemetry; the encoded payload, or the encoded scores where the coordinator has yet to choose; and the
            client's new state. Raises ClientFailed, which names the stage.
        """
        chunking, clock = self._settings.chunking, Clock()
        with stage(order, "reconstruct"):
            message = self._decoded(downlink, state)
            before = reconstruct(state.model if state else self._own_start, message, self._layout)
            clock.lap("reconstruct_s")
        with stage(order, "train"):
            withheld_P = state.withheld_P if state else None
            start = replace(before, weights_P=starting_weights(chunking, before.weights_P, withheld_P))
            result, after = self._train(order, start)
            clock.lap("train_s")
        with stage(order, "select"):
            change = self._change(start, after, result, state)
            last_sent_C = state.last_sent_C if state else np.zeros(self._layout.num_chunks, np.int32)
            first = order.client_id * self._layout.num_chunks // self._settings.federation.number_of_clients
            ages = Ages(order.round_index, np.int32(order.round_index - 1) - last_sent_C, first)
            for_records = self._settings.tracking.record_chunks
            distances_C = measure_distances(chunking, self._layout, change, for_records=for_records)
            rng = generator(self._settings.federation.random_seed, "selection", order.round_index, order.client_id)
            scores_C = score(chunking, self._layout, change, distances_C, ages, rng)
            choice = self._choice(order, scores_C, ages, message.choice_C)
            clock.lap("select_s")
        with stage(order, "emit"):
            model = replace(after, weights_P=before.weights_P) if chunking.feeds_back else after
            pending = ClientState(model, last_sent_C, change.withheld_P, message.choice_C)
            num_samples = len(self._partition.samples_of(order.client_id))
            residual_norm = None
            if choice is None:
                payload, new_state = self._scores_message(order, scores_C, num_samples), pending
            else:
                emission = emit(chunking, self._layout, order, num_samples, pending, choice.selected_C)
                payload, new_state = emission.encoded.payload, emission.state
                residual_norm = emission.residual_norm
            clock.lap("emit_s")
        chosen = choice or Choice(np.zeros(self._layout.num_chunks, np.bool_), "")
        report = self._report(order, result, chosen, scores_C, distances_C, ages, residual_norm, clock.laps)
        return report, payload, new_state

    def emit_agreed(
        self, order: TrainOrder, message: NDArray[np.uint8], state: ClientState
    ) -> tuple[float | None, NDArray[np.uint8], ClientState]:
        """The second half of a round with consensus: sends the chunks that the coordinator's message asks for.

        Returns:
            The residual's norm (None without error feedback), the payload and the client's new state.
        """
        with stage(order, "emit"):
            choice_C = self._decoded(message, state).choice_C
            assert choice_C is not None, "the coordinator's choice did not come"
            num_samples = len(self._partition.samples_of(order.client_id))
            told = replace(state, choice_C=choice_C)
            emission = emit(self._settings.chunking, self._layout, order, num_samples, told, choice_C)
        return emission.residual_norm, emission.encoded.payload, emission.state

    def evaluate_client(
        self, order: TrainOrder, downlink: NDArray[np.uint8], state: ClientState
    ) -> tuple[EvaluationSums, ClientState]:
        """Reconstructs a client's model, measures it on the whole test set and returns the client as it then is."""
        with stage(order, "evaluate"):
            model = reconstruct(state.model, self._decoded(downlink, state), self._layout)
            sums = self._evaluate_whole(model)
        return sums, replace(state, model=model)

    def evaluate(self, model: ModelState, part: slice) -> EvaluationSums:
        """Measures a model on a part of the test set."""
        self._model.load(model)
        x_S = self._to_device(self._dataset.test_x[part])
        y_S = torch.tensor(self._dataset.test_y[part], device=self._device)
        return evaluate(self._model, x_S, y_S, self._settings.training.test_batch_size)

    def _evaluate_whole(self, model: ModelState) -> EvaluationSums:
        """Measures a model on the whole test set, part by part as the coordinator's model is."""
        parts = shards(len(self._dataset.test_y), self._settings.training.test_batch_size)
        return sum((self.evaluate(model, part) for part in parts), start=EvaluationSums(0, 0.0, 0))

    def _report(
        self,
        order: TrainOrder,
        result: TrainingResult,
        choice: Choice,
        scores_C: NDArray[np.float32],
        distances_C: NDArray[np.float32] | None,
        ages: Ages,
        residual_norm: float | None,
        laps: dict[str, float],
    ) -> ClientReport:
        return ClientReport(
            round_index=order.round_index,
            client_id=order.client_id,
            num_samples=len(self._partition.samples_of(order.client_id)),
            train_loss=result.train_loss,
            chunks_sent=int(choice.selected_C.sum()),
            sensitivity_percentage=100.0 * float(choice.selected_C.mean()),
            sensitivity_reason=choice.reason,
            residual_norm=residual_norm,
            scores_C=scores_C,
            distances_C=distances_C,
            selected_C=choice.selected_C,
            age_C=ages.ages_C,
            **laps,
        )

    def _decoded(self, downlink: NDArray[np.uint8], state: ClientState | None) -> Message:
        spec = self._model.spec
        known_C = state.choice_C if state else None
        message = decode(downlink, self._layout, spec.num_float_buffers, spec.num_integer_buffers, known_C)
        assert message.sender == COORDINATOR
        return message

    def _train(self, order: TrainOrder, before: ModelState) -> tuple[TrainingResult, ModelState]:
        indices_S = self._partition.samples_of(order.client_id)
        x_S = self._to_device(self._dataset.train_x[indices_S])
        y_S = torch.tensor(self._dataset.train_y[indices_S], device=self._device)
        self._model.load(before)
        result = train_local(
            self._model,
            x_S,
            y_S,
            self._settings.training,
            seed=self._settings.federation.random_seed,
            round_index=order.round_index,
            client_id=order.client_id,
        )
        return result, self._model.state()

    def _change(
        self, before: ModelState, after: ModelState, result: TrainingResult, state: ClientState | None
    ) -> LocalChange:
        withheld_P = None
        if withholds(self._settings.chunking):
            withheld_P = after.weights_P - before.weights_P
            if state is not None and state.withheld_P is not None:
                withheld_P = state.withheld_P + withheld_P
        return LocalChange(before.weights_P, after.weights_P, result.gradient_P, withheld_P)

    def _choice(
        self, order: TrainOrder, scores_C: NDArray[np.float32], ages: Ages, told_C: NDArray[np.bool_] | None
    ) -> Choice | None:
        """The client's own choice, the coordinator's, or None where it has yet to choose."""
        if told_C is not None:
            return Choice(told_C, "agreed")
        if self._settings.chunking.agrees:
            return None
        spec = self._model.spec
        affordable = affordable_chunks(
            self._settings.chunking,
            self._layout,
            spec.num_float_buffers,
            spec.num_integer_buffers,
            order.affordable_bytes,
        )
        return choose(self._settings.chunking, scores_C, ages, affordable)

    def _scores_message(self, order: TrainOrder, scores_C: NDArray[np.float32], num_samples: int) -> NDArray[np.uint8]:
        encoding = self._settings.chunking.agreement_scores
        assert encoding != "none", "without scores the coordinator chooses before training"
        payload, _ = encode_scores(
            self._layout,
            scores_C,
            encoding,
            round_index=order.round_index,
            sender=order.client_id,
            num_samples=num_samples,
        )
        return payload

    def _to_device(self, x: NDArray[np.uint8] | NDArray[np.float32]) -> torch.Tensor:
        size = self._settings.data.transform_input_size
        return to_device(x, self._dataset.mean_c, self._dataset.std_c, size, self._device)
