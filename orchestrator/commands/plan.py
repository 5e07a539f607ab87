"""What an experiment will cost, before it is spent: bytes, memory, actors. Starts nothing and loads no data.

Bytes are counted with the encoder's own sizes and the coordinator's own rule for what a client must be sent, so they
are bounds that a run keeps, not estimates. Memory is an estimate; each line says its formula.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from orchestrator.chunking import sensitivity
from orchestrator.chunking.encoding import message_bytes
from orchestrator.chunking.layout import Layout
from orchestrator.exchange import layout_for
from orchestrator.messages import ModelSpec
from orchestrator.rounds import cohort
from orchestrator.settings import DataSettings, Settings, TrainingSettings

ACTOR_BASE_BYTES = 600_000_000
"""Private memory of an actor before it has a model: 0.45 GB for torch with CUDA libraries, 0.15 GB for torchvision
(measured on Linux; shared pages are counted once by the system)."""

OPTIMIZER_VECTORS = {"sgd": 0, "rmsprop": 1, "adam": 2, "adamw": 2}
"""Vectors of length P that an optimizer keeps; momentum adds one."""


@dataclass(frozen=True)
class DataShape:
    """What a data set is, without opening its files."""

    channels: int
    side: int
    """Pixels of an image's edge."""
    classes: int
    samples: int
    """Training and test samples."""
    value_bytes: int
    """Bytes of one pixel in memory."""

    @property
    def num_bytes(self) -> int:
        """Images and int64 labels in memory."""
        return self.samples * (self.channels * self.side**2 * self.value_bytes + 8)


DATA_SHAPES = {
    "digits": DataShape(1, 8, 10, 1797, 4),
    "mnist": DataShape(1, 28, 10, 70_000, 1),
    "fmnist": DataShape(1, 28, 10, 70_000, 1),
    "cifar10": DataShape(3, 32, 10, 60_000, 1),
    "cifar100": DataShape(3, 32, 100, 60_000, 1),
}


def data_shape(settings: DataSettings) -> DataShape:
    """The shape of the data set that the settings name, with images as stored."""
    if settings.dataset_type != "synthetic":
        return DATA_SHAPES[settings.dataset_type]
    samples = settings.synthetic_samples + settings.synthetic_test_samples
    return DataShape(settings.synthetic_channels, settings.synthetic_size, settings.synthetic_classes, samples, 1)


def model_input(settings: DataSettings) -> tuple[tuple[int, int, int], int]:
    """(channels, height, width) that the model sees after any resize, and the number of classes."""
    shape = data_shape(settings)
    side = settings.transform_input_size or shape.side
    return (shape.channels, side, side), shape.classes


@dataclass(frozen=True)
class Bounds:
    """At least ``low``, at most ``high`` bytes."""

    low: int
    high: int

    def __add__(self, other: Bounds) -> Bounds:
        return Bounds(self.low + other.low, self.high + other.high)

    def __mul__(self, times: int) -> Bounds:
        return Bounds(self.low * times, self.high * times)


@dataclass(frozen=True)
class Downloads:
    """How many messages of each kind the coordinator sends in a whole run."""

    whole: int
    """The whole model, to a client that takes part for the first time."""
    changes: int
    """What others sent since the client was last told."""
    empty: int
    """A header to a client that already knows all, because its own model was just evaluated."""


@dataclass(frozen=True)
class Memory:
    """One line of the estimate."""

    what: str
    bytes: int
    formula: str


@dataclass(frozen=True)
class Plan:
    """The cost of one experiment."""

    model: str
    parameters: int
    chunks: int
    chunks_sent: Bounds
    clients: int
    clients_per_round: int
    rounds: int
    upload: Bounds
    """One client in one round."""
    download: Bounds
    """One client in one round, once it has the model."""
    first_download: int
    """The whole model, to a client that has none yet."""
    dense_message: int
    """Every message of full exchange."""
    uplink: Bounds
    downlink: Bounds
    dense: int
    """One direction of the whole run by full exchange."""
    downloads: Downloads
    actors: int | None
    memory: tuple[Memory, ...]

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``: exact bytes."""
        return asdict(self)


def make_plan(settings: Settings, spec: ModelSpec, *, actors: int | None) -> Plan:
    """The cost of an experiment with a model of this shape.

    Args:
        settings: the experiment.
        spec: names and sizes of the model's parameters and buffers.
        actors: client actors that this machine would start, or None where it cannot run the experiment.

    Raises:
        ConfigError: more chunks than parameters.
    """
    federation = settings.federation
    layout = layout_for(settings.chunking, spec.num_parameters)
    sent = _chunks_sent(settings, layout)
    upload = Bounds(_message(spec, layout, sent.low, low=True), _message(spec, layout, sent.high))
    download = _download(settings, spec, layout, sent)
    whole = _message(spec, layout, layout.num_chunks)
    downloads = count_downloads(settings)
    clients = len(cohort(federation.number_of_clients, federation.client_sampling_rate, 0, 1))
    orders = clients * federation.federated_learning_rounds
    dense = _message(spec, Layout(spec.num_parameters, 1), 1)
    empty = sum(message_bytes(layout.num_chunks, 0, 0, 0).values())
    return Plan(
        model=settings.training.model_type,
        parameters=spec.num_parameters,
        chunks=layout.num_chunks,
        chunks_sent=sent,
        clients=federation.number_of_clients,
        clients_per_round=clients,
        rounds=federation.federated_learning_rounds,
        upload=upload,
        download=download,
        first_download=whole,
        dense_message=dense,
        uplink=upload * orders,
        downlink=Bounds(whole, whole) * downloads.whole
        + download * downloads.changes
        + Bounds(empty, empty) * downloads.empty,
        dense=dense * orders,
        downloads=downloads,
        actors=actors,
        memory=_memory(settings, spec, layout, upload.high * clients, downloads.whole),
    )


def count_downloads(settings: Settings) -> Downloads:
    """How often the coordinator sends the whole model, a change or nothing: which clients take part is in the seed."""
    federation = settings.federation
    never = -1
    known_N = np.full(federation.number_of_clients, never)
    whole = changes = empty = 0
    for round_index in range(1, federation.federated_learning_rounds + 1):
        members = list(
            cohort(federation.number_of_clients, federation.client_sampling_rate, federation.random_seed, round_index)
        )
        first, told = int((known_N[members] == never).sum()), int((known_N[members] == round_index - 1).sum())
        whole, empty, changes = whole + first, empty + told, changes + len(members) - first - told
        last = round_index == federation.federated_learning_rounds
        evaluated = federation.evaluate_clients and (last or round_index % federation.evaluation_interval == 0)
        changes += len(members) if evaluated else 0
        known_N[members] = round_index if evaluated else round_index - 1
    return Downloads(whole, changes, empty)


def _chunks_sent(settings: Settings, layout: Layout) -> Bounds:
    if not settings.chunking.chunking:
        return Bounds(layout.num_chunks, layout.num_chunks)
    ceiling = sensitivity.fixed(layout.num_chunks, settings.chunking.sensitivity_percentage)
    return Bounds(1 if settings.chunking.dynamic_sensitivity_percentage else ceiling, ceiling)


def _download(settings: Settings, spec: ModelSpec, layout: Layout, sent: Bounds) -> Bounds:
    """The union of what clients sent: their common choice at least, everything at most."""
    with_shares = settings.chunking.chunking and settings.chunking.chunk_reconstruction == "own_weights"
    low = _message(spec, layout, sent.low, low=True, with_shares=with_shares)
    return Bounds(low, _message(spec, layout, layout.num_chunks, with_shares=with_shares))


def _message(spec: ModelSpec, layout: Layout, num_chunks: int, *, low: bool = False, with_shares: bool = False) -> int:
    """Bytes of a message with ``num_chunks`` chunks: the longest, or with ``low`` the shortest of the layout."""
    longest_first_C = np.sort(layout.sizes_C)[:: 1 if low else -1]
    sizes = message_bytes(
        layout.num_chunks,
        int(longest_first_C[:num_chunks].sum()),
        spec.num_float_buffers,
        spec.num_integer_buffers,
        num_chunks if with_shares else 0,
    )
    return sum(sizes.values())


def _memory(settings: Settings, spec: ModelSpec, layout: Layout, payloads: int, clients: int) -> tuple[Memory, ...]:
    values, chunks = spec.num_parameters, layout.num_chunks
    state = 4 * values + 4 * spec.num_float_buffers + 8 * spec.num_integer_buffers
    vectors = 5 + _optimizer_vectors(settings.training)
    store = clients * (state + 4 * chunks) + payloads + state + data_shape(settings.data).num_bytes
    return (
        Memory("object store", store, "clients x (model + 4 C) + one round's payloads + one download + data set"),
        Memory("coordinator", 12 * values + 2 * state, "float64 sums and quotients of P values + the model twice"),
        Memory(
            "each actor",
            ACTOR_BASE_BYTES + 4 * values * vectors,
            f"0.6 GB + {vectors} vectors of P float32 (weights, gradients, copies, optimizer); activations come on top",
        ),
    )


def _optimizer_vectors(training: TrainingSettings) -> int:
    return OPTIMIZER_VECTORS[training.optimizer] + (1 if training.momentum else 0)
