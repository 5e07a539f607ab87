"""What every client actor has: one model, the data set, and ways to train on it and to measure it.

It acts for one client after another and keeps nothing that cannot be built again: what a client remembers comes in
and goes out again, so any actor may take any client and a repeated call gives the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from fedchunk.actors.client.experiment_data import Partition
from fedchunk.actors.payloads.verification import PayloadVerifier
from fedchunk.orchestrator.chunking.distance import Squares
from fedchunk.orchestrator.chunking.scoring import squared_norms
from fedchunk.orchestrator.contract.messages import EvaluationSums, InitialModel, ModelState, Span
from fedchunk.orchestrator.contract.spans import SpanRecorder
from fedchunk.orchestrator.core.errors import ConfigError, Fault
from fedchunk.orchestrator.core.seeds import generator
from fedchunk.orchestrator.learning.datasets.dataset import Dataset
from fedchunk.orchestrator.learning.datasets.samples import Samples
from fedchunk.orchestrator.learning.datasets.shards import shards
from fedchunk.orchestrator.learning.engines import segments
from fedchunk.orchestrator.learning.engines.group_trainer import GroupTrainer, TrainedGroup
from fedchunk.orchestrator.learning.models.build import build_model
from fedchunk.orchestrator.learning.models.flatten import FlatModel
from fedchunk.orchestrator.learning.preprocess import configure_torch
from fedchunk.orchestrator.learning.tasks.evaluation import evaluate
from fedchunk.orchestrator.methods.exchange import (
    Ages,
    LocalChange,
    layout_for,
    measure_distances,
    score,
    uses_distances,
    uses_gradient,
    uses_moves,
    withholds,
)
from fedchunk.orchestrator.settings.sections import Settings, TrainingSettings
from numpy.typing import NDArray


class LocalWorker:
    """Base of the client actors."""

    def __init__(self, settings: Settings, device: str, dataset: Dataset, partition: Partition) -> None:
        self._device = _usable(device, settings.training)
        configure_torch(settings.runtime.torch_threads, settings.training.deterministic, device)
        self._settings = settings
        self._partition = partition
        size = settings.data.transform_input_size
        scale = dataset.mean_c, dataset.std_c
        self._train_samples = Samples(dataset.train_x, dataset.train_y, scale, size, self._device)
        self._test_samples = Samples(dataset.test_x, dataset.test_y, scale, size, self._device)
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
        self._start = self._model.state()
        self._trainer = GroupTrainer(self._model, settings.training, with_gradient=uses_gradient(settings.chunking))
        self._intake = PayloadVerifier(settings.chunking, self._layout, self._model.spec, partition.sizes)
        self._diary = SpanRecorder()
        self._scratch_GP = np.empty((0, 0), np.float32)

    def initial_model(self) -> InitialModel:
        """What everybody starts from; a function of the seed, so any fresh actor gives the same."""
        return InitialModel(self._model.spec, self._start)

    def device_works(self) -> bool:
        """Whether the device still answers. After some errors CUDA refuses everything until the process ends."""
        if self._device.type == "cuda":
            try:
                torch.cuda.synchronize(self._device)
            except RuntimeError:
                return False
        return True

    def evaluate(self, model: ModelState, part: slice) -> tuple[EvaluationSums, tuple[Span, ...]]:
        """Measures a model on a part of the test set."""
        with self._diary.doing("evaluate"):
            sums = self._evaluate(model, [part])
        return sums, self._diary.read_out()

    def _evaluate_whole(self, model: ModelState) -> EvaluationSums:
        """Measures a model on the whole test set, part by part as the coordinator's model is."""
        return self._evaluate(model, shards(len(self._test_samples), self._settings.training.test_batch_size))

    def _evaluate(self, model: ModelState, parts: Sequence[slice]) -> EvaluationSums:
        self._model.load(model)
        total = EvaluationSums(0, 0.0, 0)
        for part in parts:
            x_S, y_S = self._test_samples.take(part)
            total += evaluate(self._model, x_S, y_S, self._settings.training.test_batch_size)
        return total

    def _train(self, round_index: int, clients: Sequence[int], starts: Sequence[ModelState]) -> TrainedGroup:
        """Trains the clients of a group, each from its own start."""
        with self._diary.doing("fetch", len(clients)):
            indices = [self._partition.samples_of(client) for client in clients]
            offsets = np.cumsum([0, *map(len, indices)])
            x_S, y_S = self._train_samples.take(np.concatenate(indices))
        with self._diary.doing("train", len(clients)):
            seed = self._settings.federation.random_seed
            return self._trainer.train(starts, x_S, y_S, offsets.tolist(), clients, seed=seed, round_index=round_index)

    def _changes(
        self, starts: Sequence[ModelState], trained: TrainedGroup, withheld: Sequence[NDArray[np.float32] | None]
    ) -> list[LocalChange]:
        """What the clients of a group know after training; ``withheld`` is what each kept back before."""
        chunking = self._settings.chunking
        with np.errstate(invalid="ignore", over="ignore"):  # clients that diverged are rows like others here
            gradient_GC = self._gradient_squares(trained)
            moved = self._moved(starts, trained)
        changes = []
        for row, start in enumerate(starts):
            after_P, kept_P = trained.weights_GP[row], withheld[row]
            if withholds(chunking):
                change_P = after_P - start.weights_P
                kept_P = change_P if kept_P is None else kept_P + change_P
            gradient_C = None if gradient_GC is None else gradient_GC[row]
            changes.append(LocalChange(start.weights_P, after_P, kept_P, gradient_C, moved[row] if moved else None))
        return changes

    def _gradient_squares(self, trained: TrainedGroup) -> NDArray[np.float64] | None:
        """Squared norms of the gradients' chunks; what was trained on a GPU is added up there."""
        if trained.gradients is None:
            return None
        if trained.gradients.device.type != "cpu":
            return segments.squared_norms(trained.gradients, self._layout.sizes_C)
        return squared_norms(trained.gradients.numpy(), self._layout)

    def _moved(self, starts: Sequence[ModelState], trained: TrainedGroup) -> list[Squares] | None:
        """Squared norms of after, before and their difference; None where nobody asks for them."""
        chunking, for_records = self._settings.chunking, self._settings.tracking.record_chunks
        if not uses_moves(chunking, for_records=for_records):
            return None
        if len(self._scratch_GP) < len(starts):  # kept, because new memory costs more than what is done in it
            self._scratch_GP = np.empty((len(starts), self._layout.num_parameters), np.float32)
        work_GP = self._scratch_GP[: len(starts)]
        shared = all(start.weights_P is starts[0].weights_P for start in starts)
        before = starts[0].weights_P if shared else np.stack([start.weights_P for start in starts], out=work_GP)
        with_lengths = uses_distances(chunking, for_records=for_records) and chunking.distance_metric == "cosine"
        before_C = squared_norms(before, self._layout) if with_lengths else None
        difference_GC = squared_norms(np.subtract(trained.weights_GP, before, out=work_GP), self._layout)
        if before_C is None:
            return [Squares(difference_C) for difference_C in difference_GC]
        after_GC = squared_norms(trained.weights_GP, self._layout)
        before_GC = np.broadcast_to(before_C, after_GC.shape)
        return [Squares(*rows) for rows in zip(difference_GC, after_GC, before_GC, strict=True)]

    def _ages(self, round_index: int, client: int, last_sent_C: NDArray[np.int32]) -> Ages:
        first = client * self._layout.num_chunks // self._settings.federation.number_of_clients
        return Ages(round_index, np.int32(round_index - 1) - last_sent_C, first)

    def _scored(
        self, client: int, change: LocalChange, ages: Ages
    ) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """The scores of a client's chunks, and their distances where somebody asks for them."""
        chunking = self._settings.chunking
        for_records = self._settings.tracking.record_chunks
        distances_C = measure_distances(chunking, self._layout, change, for_records=for_records)

        def make_rng() -> np.random.Generator:
            return generator(self._settings.federation.random_seed, "selection", ages.round_index, client)

        return score(chunking, self._layout, change, distances_C, ages, make_rng), distances_C

    def _num_samples(self, client: int) -> int:
        return self._partition.sizes[client]


def _usable(name: str, training: TrainingSettings) -> torch.device:
    """The device of that name. Raises ConfigError: torch cannot use it, or not in this precision."""
    device = torch.device(name)
    if device.type == "cuda" and not torch.cuda.is_available():
        found = f"torch {torch.__version__} finds no GPU that it can use here"
        why = "is it a build for the CPU, or is the driver too old?"
        raise ConfigError([Fault("", "device", f"{found} ({why}); set device: cpu, or install a torch for this GPU")])
    if device.type == "cuda" and training.mixed_precision == "bfloat16" and not torch.cuda.is_bf16_supported():
        raise ConfigError([Fault("", "mixed_precision", "this GPU has no bfloat16; allowed on it: none")])
    return device
