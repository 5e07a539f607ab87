"""What every client actor has: one model, the data set, and ways to train on it and to measure it.

It acts for one client after another and keeps nothing that cannot be built again: what a client remembers comes in
and goes out again, so any actor may take any client and a repeated call gives the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from fedchunk.actors.client.changes import Changes
from fedchunk.actors.client.experiment_data import ExperimentData
from fedchunk.actors.payloads.verification import PayloadVerifier
from fedchunk.orchestrator.contract.evaluation import EvaluationSums, Measured
from fedchunk.orchestrator.contract.home_part import apart, joined, shared_part
from fedchunk.orchestrator.contract.messages import InitialModel, ModelSpec, ModelState, Span
from fedchunk.orchestrator.contract.named_tensors import Tensors, state_of, tensors_by_name
from fedchunk.orchestrator.contract.spans import SpanRecorder
from fedchunk.orchestrator.core.errors import ConfigError, Fault
from fedchunk.orchestrator.core.seeds import generator
from fedchunk.orchestrator.learning.build import flat_model
from fedchunk.orchestrator.learning.data.samples import Part, Places, Samples
from fedchunk.orchestrator.learning.data.shards import shards
from fedchunk.orchestrator.learning.engines.batches import client_batches
from fedchunk.orchestrator.learning.engines.flatten import FlatModel
from fedchunk.orchestrator.learning.engines.group_trainer import GroupTrainer, TrainedGroup
from fedchunk.orchestrator.learning.engines.training import has_batch_norm
from fedchunk.orchestrator.learning.evaluation import evaluate
from fedchunk.orchestrator.learning.lora import in_place_of_base, is_adapter
from fedchunk.orchestrator.learning.loss import Loss
from fedchunk.orchestrator.learning.measures import Measures
from fedchunk.orchestrator.learning.preprocess import configure_torch
from fedchunk.orchestrator.methods.chooser import Choice
from fedchunk.orchestrator.methods.method import Method, client_weight
from fedchunk.orchestrator.methods.rates import learning_rates
from fedchunk.orchestrator.methods.scorer import Ages, LocalChange
from fedchunk.orchestrator.settings.joined import Sections
from fedchunk.orchestrator.settings.sections import TrainingSettings


class LocalWorker:
    """Trains, measures and scores for whatever client it is asked for.

    Attributes:
        method: what the settings say of an exchange.
        spec: what the model is made of.
        start: the model that everybody starts from.
        home: what stays with each client, as everybody starts with it; None where everything is shared.
        verifier: checks what clients sent.
        spans: what was done when.
    """

    def __init__(self, settings: Sections, device: str, data: ExperimentData) -> None:
        """Raises ConfigError where the values that the run begins with are not those of the model."""
        self._device = _usable(device, settings.training)
        configure_torch(settings.runtime.torch_threads, settings.training.deterministic, device)
        self._settings = settings
        self._learning_rate_of = learning_rates(settings)
        self._partition, self._own_tests, dataset = data.partition, data.own_tests, data.dataset
        scale, size = dataset.scale, dataset.size
        self._train_samples = Samples(dataset.train_x, dataset.train_y, scale, size, self._device)
        self._test_samples = Samples(dataset.test_x, dataset.test_y, scale, size, self._device)
        self._model = flat_model(settings, dataset.input_shape, dataset.num_classes, self._device)
        self._loss, self._measures = Loss.of(settings), Measures(settings, dataset.token_bytes_V)
        self.spec = shared_part(self._model.spec, settings.training.local_parameters, settings.training.model_type)
        self.method = Method.of(settings, self.spec)
        self._layout = self.method.layout
        first = _start(settings, self._model, self.spec, data.first)
        self.start, home = apart(self.spec, first)
        self.home = home if self.spec.home else None
        self._changes = Changes(self.method, settings.training, self._device)
        self._trainer = GroupTrainer(self._model, settings, with_gradient=self._changes.adds_up)
        self.verifier = PayloadVerifier(self.method, self.spec, data.partition.sizes, settings)
        self.spans = SpanRecorder()

    def initial_model(self) -> InitialModel:
        """What everybody starts from; a function of the seed, so any fresh actor gives the same."""
        return InitialModel(self.spec, self.start, self._model.frozen())

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
        with self.spans.doing("evaluate"):
            sums = self._evaluate(model, self._test_samples, [part])
        return sums, self.spans.read_out()

    @property
    def keeps_own_tests(self) -> bool:
        """Whether samples of clients are kept to measure their models on."""
        return self._own_tests is not None

    def measured(self, client: int, model: ModelState, home: ModelState | None = None) -> Measured:
        """Measures a client's model on the whole test set, part by part as the coordinator's model is, and on its own.

        ``home``: as :meth:`whole` says.
        """
        model = self.whole(model, home)
        return Measured(self.measured_on_all(model), self.measured_on_own(client, model))

    def whole(self, model: ModelState, home: ModelState | None) -> ModelState:
        """A client's model with what stays with it; ``home`` is None where nothing does, or before it ever trained."""
        return model if self.home is None else joined(model, home or self.home)

    def measured_on_all(self, model: ModelState) -> EvaluationSums:
        """Measures a whole model on the whole test set."""
        parts = shards(len(self._test_samples), self._settings.training.test_batch_size)
        return self._evaluate(model, self._test_samples, parts)

    def measured_on_own(self, client: int, model: ModelState) -> EvaluationSums | None:
        """Measures a whole model on the samples that are kept of a client's; None where there are none."""
        if self._own_tests is None or not self._own_tests.sizes[client]:
            return None
        places_S = self._own_tests.samples_of(client)
        parts = shards(len(places_S), self._settings.training.test_batch_size)
        return self._evaluate(model, self._train_samples, [places_S[part] for part in parts])

    def _evaluate(self, model: ModelState, samples: Samples, parts: Sequence[Places]) -> EvaluationSums:
        self._model.load(model)
        total = EvaluationSums(0, 0.0, 0)
        for part in parts:
            x_S, y_S = samples.take(part)
            batch_size = self._settings.training.test_batch_size
            total += evaluate(self._model, x_S, y_S, batch_size, self._loss, self._measures)
        return total

    def train(
        self,
        round_index: int,
        clients: Sequence[int],
        starts: Sequence[ModelState],
        momenta: Sequence[NDArray[np.float32] | None] = (),
        homes: Sequence[ModelState | None] = (),
    ) -> TrainedGroup:
        """Trains the clients of a group, each from its own start.

        ``momenta`` are as the trainer says; ``homes`` is what stays with each client, None before it ever trained.
        """
        if self.home is not None:
            own = [home or self.home for home in homes]
            starts = [joined(start, home) for start, home in zip(starts, own, strict=True)]
        with self.spans.doing("train", len(clients)):
            indices = [self._partition.samples_of(client) for client in clients]
            offsets = np.cumsum([0, *map(len, indices)])
            samples = Part(self._train_samples, np.concatenate(indices))
            seed = self._settings.federation.random_seed
            rate = self._learning_rate_of(round_index)
            trained = self._trainer.train(
                starts, samples, offsets.tolist(), clients,
                seed=seed, round_index=round_index, learning_rate=rate, momenta=momenta,
            )  # fmt: skip
        return trained if self.home is None else self._without_homes(trained)

    def _without_homes(self, trained: TrainedGroup) -> TrainedGroup:
        """The same with what stays with the clients apart from what is shared."""
        whole = ModelState(trained.weights_GP, trained.buffers_GB, trained.counters_GI)
        shared, homes = apart(self.spec, whole)
        gradients = trained.gradients
        return replace(
            trained,
            weights_GP=shared.weights_P,
            buffers_GB=shared.buffers_B,
            counters_GI=shared.counters_I,
            gradients=None if gradients is None else gradients[:, : self.spec.num_parameters],
            homes=homes,
        )

    def changes(
        self,
        starts: Sequence[ModelState],
        trained: TrainedGroup,
        withheld: Sequence[NDArray[np.float32] | None],
        *,
        reuse: bool = False,
    ) -> list[LocalChange]:
        """What the clients of a group know after training, as :meth:`Changes.of` says."""
        return self._changes.of(starts, trained, withheld, reuse=reuse)

    def ages(self, round_index: int, client: int, last_sent_C: NDArray[np.int32]) -> Ages:
        """What a client's choice has to know of the past."""
        first = client * self._layout.num_chunks // self._settings.federation.number_of_clients
        return Ages(round_index, np.int32(round_index - 1) - last_sent_C, first, client)

    def scored(self, change: LocalChange, ages: Ages) -> NDArray[np.float32]:
        """The scores of a client's chunks."""
        return self.method.scorer.scores(change, ages, self._rng_of("selection", ages))

    def chosen(self, scores_C: NDArray[np.float32], ages: Ages, affordable: int | None) -> Choice:
        """The chunks that a client sends by its own choice."""
        return self.method.chooser.choose(scores_C, ages, affordable, self._rng_of("policy", ages))

    def _rng_of(self, purpose: str, ages: Ages) -> Callable[[], np.random.Generator]:
        """Makes the client's random numbers of this round, if somebody draws."""
        seed = self._settings.federation.random_seed
        return lambda: generator(seed, purpose, ages.round_index, ages.client)

    def weight(self, client: int) -> float:
        """The client's weight in a mean."""
        return client_weight(self._settings.federation, self.num_samples(client))

    def release_buffers(self) -> None:
        """What was trained stays as it is: the next group gets memory of its own."""
        self._trainer.release_buffers()

    def local_steps(self, client: int) -> int:
        """Steps of a client's training in a round."""
        drop_single = has_batch_norm(self._model.module)
        return client_batches(self.num_samples(client), self._settings.training, drop_single=drop_single).steps

    def num_samples(self, client: int) -> int:
        """Training samples of a client."""
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


def _start(settings: Sections, model: FlatModel, spec: ModelSpec, first: Tensors | None) -> ModelState:
    """What everybody begins with: the values of a file, or those of the seed.

    What is frozen is as the file says, where it says so. What stays at home is in no message, so it is as the file says
    only where clients have the file: else as the seed says, and so is what the file lacks, as the weights of a run lack
    it.
    """
    if first is None:
        return model.state()
    first = in_place_of_base(model.module, first)
    try:
        model.load_frozen(first)
        own, known = model.state(), settings.federation.initial_model_known
        frozen = model.frozen().keys()
        values = {name: tensor for name, tensor in first.items() if name not in frozen}
        if settings.training.lora_rank is not None and not any(map(is_adapter, values)):
            fresh = tensors_by_name(model.spec, own)
            values = {name: tensor for name, tensor in fresh.items() if is_adapter(name)} | values
        if spec.home is not None:
            home = tensors_by_name(spec.home, apart(spec, own)[1])
            values = {**home, **values} if known else {**values, **home}
        return state_of(model.spec, values)
    except ValueError as error:
        message = f"{settings.federation.initial_file} does not fit {settings.training.model_type}: {error}"
        raise ConfigError([Fault("", "initial_model", message)]) from None
