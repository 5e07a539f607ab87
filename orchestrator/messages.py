"""Frozen, typed values that cross a process border. Arrays in them arrive read-only.

Makers and eaters:

    InitialModel      client actor -> coordinator    once, before round 1
    TrainOrder        coordinator -> client actor    one per client and round; peer to peer a MixOrder after it
    ClientState       client actor -> object store -> client actor   a client is this value (and its data)
    ClientReport      client actor -> coordinator    research telemetry and sizes; what is billed is in the payload
    EvaluationSums    client actor -> coordinator    sums, so that shards add up
    RoundResult       coordinator -> driver          one round's rows of the tables
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

COORDINATOR = -1
"""The coordinator's place in ``sender`` and ``receiver`` columns; clients count from 0."""


@dataclass(frozen=True)
class ParameterSpec:
    """One trainable tensor and the range of the flat vector it lives in."""

    name: str
    shape: tuple[int, ...]
    start: int
    stop: int


@dataclass(frozen=True)
class BufferSpec:
    """One tensor of the model's other state; ``is_integer`` says in which of the two buffer vectors it lives."""

    name: str
    shape: tuple[int, ...]
    is_integer: bool
    start: int
    stop: int


@dataclass(frozen=True)
class ModelSpec:
    """What the coordinator knows of a model: names and places, no torch."""

    parameters: tuple[ParameterSpec, ...]
    buffers: tuple[BufferSpec, ...]

    @property
    def num_parameters(self) -> int:
        """P, the length of the flat vector."""
        return self.parameters[-1].stop if self.parameters else 0

    @property
    def num_float_buffers(self) -> int:
        """B, the number of floating-point buffer values."""
        return sum(b.stop - b.start for b in self.buffers if not b.is_integer)

    @property
    def num_integer_buffers(self) -> int:
        """I, the number of integer buffer values."""
        return sum(b.stop - b.start for b in self.buffers if b.is_integer)


@dataclass(frozen=True)
class ModelState:
    """The values of a model: parameters and buffers, flat."""

    weights_P: NDArray[np.float32]
    buffers_B: NDArray[np.float32]
    counters_I: NDArray[np.int64]


@dataclass(frozen=True)
class InitialModel:
    """The model that everybody starts from, and what its parts are called."""

    spec: ModelSpec
    state: ModelState


@dataclass(frozen=True)
class ClientState:
    """Everything a client remembers between rounds. Any actor that has this and the data *is* the client."""

    model: ModelState
    """Its own model; with error feedback the model that it shares with the coordinator."""
    last_sent_C: NDArray[np.int32]
    """The round in which each chunk was last sent; 0 where it never was (all had the initial model then)."""
    withheld_P: NDArray[np.float32] | None = None
    """Change that was not sent yet. With error feedback it will be; else it only tells what matters. None where
    the settings have no use for it."""
    choice_C: NDArray[np.bool_] | None = None
    """The chunks that all clients were last told to send, with consensus."""
    copies: tuple[NDArray[np.float32], ...] = ()
    """With stale copies: what was last heard of the client itself and of each neighbour, in order of clients."""


@dataclass(frozen=True)
class TrainOrder:
    """What one client is to do in one round."""

    round_index: int
    client_id: int
    affordable_bytes: int | None = None
    """Most bytes that its payload may have; None: no budget."""


@dataclass(frozen=True)
class ClientReport:
    """What a client says beside its payload. Telemetry: a real federation would not need it to work."""

    round_index: int
    client_id: int
    num_samples: int
    train_loss: float
    """Mean loss over all samples seen in this round's local training."""
    chunks_sent: int
    sensitivity_percentage: float
    """Share of chunks sent, in percent."""
    sensitivity_reason: str
    """Why so many chunks."""
    residual_norm: float | None
    """L2 norm of what it keeps back after sending; None without error feedback."""
    scores_C: NDArray[np.float32]
    distances_C: NDArray[np.float32] | None
    """Distance of each chunk between after and before local training, or None when not recorded."""
    selected_C: NDArray[np.bool_]
    age_C: NDArray[np.int32]
    """Rounds since this client last sent the chunk, before this round's choice; 0 if it was sent last round."""
    reconstruct_s: float
    train_s: float
    select_s: float
    emit_s: float


@dataclass(frozen=True)
class MixOrder:
    """What one peer is to mix in one round."""

    train: TrainOrder
    senders: tuple[int, ...]
    """Whose payloads come with the order, ascending: the peer's own and those of neighbours that sent."""
    neighbours: tuple[int, ...]
    """All its neighbours, ascending."""
    weights: tuple[float, ...]
    """What each neighbour weighs in gossip, in the order of ``neighbours``."""
    evaluate: bool
    """Whether to measure the model on the test set."""


@dataclass(frozen=True)
class EvaluationSums:
    """Sums over test samples; shards of a test set add up, the mean is taken once."""

    correct: int
    loss_sum: float
    num_samples: int

    def __add__(self, other: EvaluationSums) -> EvaluationSums:
        return EvaluationSums(
            self.correct + other.correct, self.loss_sum + other.loss_sum, self.num_samples + other.num_samples
        )

    @property
    def accuracy(self) -> float:
        """Share of correct answers, 0 to 1."""
        return self.correct / self.num_samples

    @property
    def loss(self) -> float:
        """Mean loss of a sample."""
        return self.loss_sum / self.num_samples


@dataclass(frozen=True)
class MixReport:
    """What a peer says after mixing."""

    refused: dict[int, str]
    """Senders whose payloads did not pass the checks, and why."""
    sums: EvaluationSums | None
    """Its model on the whole test set, if that was asked for."""


@dataclass(frozen=True)
class RoundResult:
    """One finished round: the rows that it adds to each table of :mod:`orchestrator.records`."""

    round_index: int
    tables: dict[str, pa.Table]
    """``rounds`` (one row), ``clients``, ``chunks``, ``ledger``."""
    problems: tuple[str, ...]
    """What went wrong with single clients, equal reasons once; for the log."""

    @property
    def summary(self) -> dict[str, object]:
        """The round's row of the ``rounds`` table as a dictionary."""
        row: dict[str, object] = self.tables["rounds"].to_pylist()[0]
        return row
