"""A client actor's work, as a plain class: reconstruct, train, score, select, emit; and evaluate.

It acts for one client after another and keeps nothing that cannot be built again: what a client remembers comes in
as :class:`ClientState` and goes out again, so any actor may take any client and a repeated call gives the same bits.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray

from actors.experiment_data import Partition
from orchestrator.chunking.encoding import decode, encode
from orchestrator.errors import ClientFailed, FedchunkError
from orchestrator.exchange import LocalChange, choose, layout_for, reconstruct
from orchestrator.learning.data import Dataset
from orchestrator.learning.evaluation import evaluate
from orchestrator.learning.flatten import FlatModel
from orchestrator.learning.models import build_model
from orchestrator.learning.preprocess import configure_torch, to_device
from orchestrator.learning.shards import shards
from orchestrator.learning.training import train_local
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
        self._image_shape = (channels, size or height, size or width)
        module = build_model(
            settings.training,
            self._image_shape,
            dataset.num_classes,
            settings.federation.random_seed,
            settings.data.download,
        )
        self._model = FlatModel(module, self._device)
        self._layout = layout_for(settings.chunking, self._model.spec.num_parameters)

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
            Telemetry, the encoded payload and the client's new state. Raises ClientFailed, which names the stage.
        """
        clock = _Clock()
        with _stage(order, "reconstruct"):
            before = self._reconstruct(downlink, state)
            clock.lap("reconstruct_s")
        with _stage(order, "train"):
            x_S, y_S = self._samples_of(order.client_id)
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
            after = self._model.state()
            clock.lap("train_s")
        with _stage(order, "select"):
            change = LocalChange(before.weights_P, after.weights_P, result.gradient_P)
            rng = generator(self._settings.federation.random_seed, "selection", order.round_index, order.client_id)
            measure = self._settings.tracking.record_chunks
            choice = choose(self._settings.chunking, self._layout, change, rng, measure=measure)
            clock.lap("select_s")
        with _stage(order, "emit"):
            payload, _ = encode(
                self._layout,
                after.weights_P,
                choice.selected_C,
                round_index=order.round_index,
                sender=order.client_id,
                num_samples=result.num_samples,
                buffers_B=after.buffers_B,
                counters_I=after.counters_I,
            )
            clock.lap("emit_s")
        last_sent_C = state.last_sent_C if state else np.zeros(self._layout.num_chunks, np.int32)
        sent = int(choice.selected_C.sum())
        report = ClientReport(
            round_index=order.round_index,
            client_id=order.client_id,
            num_samples=result.num_samples,
            train_loss=result.train_loss,
            chunks_sent=sent,
            sensitivity_percentage=100.0 * sent / self._layout.num_chunks,
            scores_C=choice.scores_C,
            distances_C=choice.distances_C,
            selected_C=choice.selected_C,
            age_C=np.int32(order.round_index - 1) - last_sent_C,
            **clock.laps,
        )
        new_last_sent_C = np.where(choice.selected_C, np.int32(order.round_index), last_sent_C)
        return report, payload, ClientState(after, new_last_sent_C)

    def evaluate_client(
        self, order: TrainOrder, downlink: NDArray[np.uint8], state: ClientState
    ) -> tuple[EvaluationSums, ClientState]:
        """Reconstructs a client's model, measures it on the whole test set and returns the client as it then is."""
        with _stage(order, "evaluate"):
            model = self._reconstruct(downlink, state)
            parts = shards(len(self._dataset.test_y), self._settings.training.test_batch_size)
            sums = sum((self.evaluate(model, part) for part in parts), start=EvaluationSums(0, 0.0, 0))
        return sums, ClientState(model, state.last_sent_C)

    def evaluate(self, model: ModelState, part: slice) -> EvaluationSums:
        """Measures a model on a part of the test set."""
        self._model.load(model)
        x_S = self._to_device(self._dataset.test_x[part])
        y_S = torch.tensor(self._dataset.test_y[part], device=self._device)
        return evaluate(self._model, x_S, y_S, self._settings.training.test_batch_size)

    def _reconstruct(self, downlink: NDArray[np.uint8], state: ClientState | None) -> ModelState:
        spec = self._model.spec
        message = decode(downlink, self._layout, spec.num_float_buffers, spec.num_integer_buffers)
        assert message.sender == COORDINATOR
        return reconstruct(state.model if state else None, message, self._layout)

    def _samples_of(self, client_id: int) -> tuple[torch.Tensor, torch.Tensor]:
        indices_S = self._partition.samples_of(client_id)
        y_S = torch.from_numpy(self._dataset.train_y[indices_S]).to(self._device)
        return self._to_device(self._dataset.train_x[indices_S]), y_S

    def _to_device(self, x: NDArray[np.uint8] | NDArray[np.float32]) -> torch.Tensor:
        size = self._settings.data.transform_input_size
        return to_device(x, self._dataset.mean_c, self._dataset.std_c, size, self._device)


class _Clock:
    """Seconds between laps, by name."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name] = now - self._last
        self._last = now


@contextmanager
def _stage(order: TrainOrder, name: str) -> Iterator[None]:
    """Says in which client, round and stage something failed; the cause stays attached."""
    try:
        yield
    except (FedchunkError, ArithmeticError, ValueError, RuntimeError, MemoryError) as error:
        raise ClientFailed(order.client_id, order.round_index, name, f"{type(error).__name__}: {error}") from error
