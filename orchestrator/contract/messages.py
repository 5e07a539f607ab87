"""Frozen, typed values that cross a process border. Arrays in them arrive read-only.

Makers and eaters:

    InitialModel      client actor -> coordinator    once, before round 1
    GroupOrder        coordinator -> client actor    some clients of a star, in one call
    GroupAnswer       client actor -> coordinator    what became of them: reports, and the sums of their updates
    ClientStates      client actor -> object store -> client actor   the clients of a group, as rows
    PeersOrder        coordinator -> client actor    which peers are to train; a MixPeersOrder comes after it
    RelaySum          client actor -> coordinator    which messages count that peers have handed on to all
    AverageOrder      coordinator -> client actor    one peer, up or down the tree of the final average
    ClientState       client actor -> object store -> client actor   a client is this value (and its data)
    ClientReport      client actor -> coordinator    research telemetry, see fedchunk.orchestrator.contract.reports
    Span              client actor -> coordinator    when an actor did what
    EvaluationSums    client actor -> coordinator    sums, so that shards add up
    RoundResult       coordinator -> driver          one round's rows of the tables
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fedchunk.orchestrator.chunking.aggregation import PartialSum
from fedchunk.orchestrator.contract.reports import ReportRows
from fedchunk.orchestrator.contract.small_arrays import SmallArraysInside

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
    home: ModelSpec | None = None
    """What each client has of its own beside that, which is never sent; None where everything is shared."""
    num_frozen: int = 0
    """Values that training leaves as they are: everybody has them, so they are in no state and in no message."""

    @property
    def num_parameters(self) -> int:
        """P, the length of the flat vector."""
        return self.parameters[-1].stop if self.parameters else 0

    @property
    def parameter_bounds(self) -> NDArray[np.int64]:
        """Where each parameter begins in the flat vector, and P."""
        return np.array([0, *(parameter.stop for parameter in self.parameters)], np.int64)

    @property
    def num_float_buffers(self) -> int:
        """B, the number of floating-point buffer values."""
        return sum(b.stop - b.start for b in self.buffers if not b.is_integer)

    @property
    def num_integer_buffers(self) -> int:
        """I, the number of integer buffer values."""
        return sum(b.stop - b.start for b in self.buffers if b.is_integer)


@dataclass(frozen=True)
class ModelState(SmallArraysInside):
    """The values of a model: parameters and buffers, flat."""

    weights_P: NDArray[np.float32]
    buffers_B: NDArray[np.float32]
    counters_I: NDArray[np.int64]

    def row(self, place: int) -> ModelState:
        """One of several models that are rows of the arrays, as views."""
        return ModelState(self.weights_P[place], self.buffers_B[place], self.counters_I[place])


@dataclass(frozen=True)
class InitialModel:
    """The model that everybody starts from, and what its parts are called."""

    spec: ModelSpec
    state: ModelState
    frozen: Mapping[str, NDArray[np.generic]] = field(default_factory=dict)
    """Parameters that are not trained, by name: for the records, everybody else has them."""


@dataclass(frozen=True)
class ClientState:
    """Everything a client remembers between rounds. Any actor that has this and the data *is* the client."""

    model: ModelState | None
    """Its own model; with error feedback that which it shares with the coordinator, where not all know the same. None
    where the next message holds the whole of it anyway, and where all share one that lies elsewhere."""
    last_sent_C: NDArray[np.int32]
    """The round in which each chunk was last sent; 0 where it never was (all had the initial model then)."""
    withheld_P: NDArray[np.float32] | None = None
    """Change that was not sent yet. With error feedback and stale copies it will be (of a peer that has trained and not
    mixed, with what is on its way); else it only tells what matters. None where the settings have no use for it."""
    choice_C: NDArray[np.bool_] | None = None
    """The chunks that all clients were last told to send, with consensus."""
    copies: tuple[NDArray[np.float32], ...] = ()
    """What its exchange rule keeps beside the model: with stale copies the one sum of what it has heard."""
    momentum_P: NDArray[np.float32] | None = None
    """What its optimizer's momentum starts from, as of its last round. None where it always starts at zero."""
    began_P: NDArray[np.float32] | None = None
    """The model that its last training began from, where that is followed up and is not ``model``."""
    home: ModelState | None = None
    """What of the model stays with it, as it last trained it; None where all is shared, or before it ever trained."""
    kept_C: NDArray[np.bool_] | None = None
    """The chunks that ``model.weights_P`` has, one behind the other: the next message surely holds the others. None:
    it has all of them."""

    def after_sending(self, last_sent_C: NDArray[np.int32], withheld_P: NDArray[np.float32] | None) -> ClientState:
        """The same client once it has sent. ``dataclasses.replace`` takes eight times as long, for every client."""
        rest = self.choice_C, self.copies, self.momentum_P, self.began_P, self.home, self.kept_C
        return ClientState(self.model, last_sent_C, withheld_P, *rest)


@dataclass(frozen=True)
class ClientStates(SmallArraysInside):
    """The states of the clients of one group, as rows of few arrays. Clients that share a model share its row."""

    model_rows: tuple[int, ...]
    """Which row of the models is each client's; empty where no models are kept."""
    weights_MP: NDArray[np.float32]
    buffers_MB: NDArray[np.float32]
    counters_MI: NDArray[np.int64]
    last_sent_GC: NDArray[np.int32]
    withheld_GP: NDArray[np.float32] | None
    choice_C: NDArray[np.bool_] | None
    momentum_GP: NDArray[np.float32] | None = None
    began_GP: NDArray[np.float32] | None = None
    homes: ModelState | None = None
    """What stays with each client, as rows of its three arrays."""
    kept_C: NDArray[np.bool_] | None = None
    """The chunks that are in ``weights_MP``, as :attr:`ClientState.kept_C` says."""

    def row(self, place: int) -> ClientState:
        """One client's state, as views."""
        model = None
        if self.model_rows:
            at = self.model_rows[place]
            model = ModelState(self.weights_MP[at], self.buffers_MB[at], self.counters_MI[at])
        withheld_P, momentum_P, began_P = (
            None if rows is None else rows[place] for rows in (self.withheld_GP, self.momentum_GP, self.began_GP)
        )
        home = None if self.homes is None else self.homes.row(place)
        rest = momentum_P, began_P, home, self.kept_C
        return ClientState(model, self.last_sent_GC[place], withheld_P, self.choice_C, (), *rest)


@dataclass(frozen=True)
class StatePlace:
    """Where a client's state lies among those that come with a call: which object, which group of it, which row."""

    argument: int
    group: int
    row: int


@dataclass(frozen=True)
class GroupOrder:
    """What an actor is to do for the clients of one call: whole groups, one behind the other."""

    round_index: int
    groups: tuple[tuple[int, ...], ...]
    """Clients of each group, ascending."""
    messages: tuple[tuple[int, ...], ...]
    """For each client, in order, which messages are for it: of those in the call's first argument, where that is
    messages."""
    states: tuple[StatePlace | None, ...]
    """For each client, in order, where its state is; None before it ever took part, and where there is nothing in it
    but ``last_sent_KC``. Empty where clients keep none."""
    last_rounds: tuple[int, ...]
    """For each client, in order, the round in which it last took part, 0 before it ever did."""
    known_rounds: tuple[int, ...]
    """For each client, in order, the round of the model that it knows, before any messages; -1 if none."""
    affordable_bytes: int | None = None
    """Most bytes that one client's payload may have; None: no budget."""
    summed: bool = False
    """Whether the actor adds the updates of a group, so that only their sum travels."""
    most_a_unit: float | None = None
    """The largest value that an update may have, where a larger one has turned out to be among them."""
    last_sent_KC: NDArray[np.int32] | None = None
    """For each client, in order, the round in which it last sent each chunk, 0 where it never did, for those that took
    part before and have no state. None where all have one."""


@dataclass(frozen=True)
class KnownToAll(SmallArraysInside):
    """What the coordinator's messages of a round come to, where every client gets the same bits: then the messages are
    billed, and nobody has to write and open them."""

    model: ModelState
    changed_C: NDArray[np.int32] | None = None
    """The round in which each chunk last changed: those that did not since a client was told the model stay the
    client's own. None where clients have no chunks of their own."""
    choice_C: NDArray[np.bool_] | None = None
    """The chunks that the clients are to send, if they are told."""

    def own_C(self, known_round: int) -> NDArray[np.bool_] | None:
        """The chunks that stay a client's own that knows the model of that round; None where there are none."""
        if self.changed_C is None:
            return None
        own_C: NDArray[np.bool_] = self.changed_C <= known_round
        return own_C if own_C.any() else None


@dataclass(frozen=True)
class Span:
    """An actor did something for some clients."""

    actor: str
    """Host and process id."""
    activity: str
    """What: one of :data:`fedchunk.orchestrator.core.records.ACTIVITIES`."""
    clients: int
    """For how many clients at once; 0 where it was for none in particular."""
    start_s: float
    """Seconds since 1970, by the clock of the actor's machine."""
    duration_s: float


@dataclass(frozen=True)
class GroupResult:
    """What became of the clients of one group."""

    reports: ReportRows | None
    """Of the clients that answered, in order; their states are the rows of the group's :class:`ClientStates`. None if
    none answered."""
    failed: Mapping[int, str]
    """Why the others did not."""
    rejected: Mapping[int, str]
    """Clients that answered with a payload that did not pass the checks, and why. Known only where summed."""
    sizes: Mapping[int, Mapping[str, int]]
    """The bytes of each payload by kind. Known only where summed."""
    total: PartialSum | None
    """The sum of the updates that count; None where payloads travel, or where none counts."""
    largest: Mapping[int, float] = field(default_factory=dict)
    """Of each client that counts, the largest absolute value for a unit. Known only where summed."""


@dataclass(frozen=True)
class GroupAnswer:
    """The answer to a :class:`GroupOrder`, beside payloads and states."""

    groups: tuple[GroupResult, ...]
    spans: tuple[Span, ...]


@dataclass(frozen=True)
class EmitAnswer:
    """What clients say that sent what they were told to."""

    residual_norms: tuple[tuple[float | None, ...], ...]
    """Of each group's clients that did; None without error feedback."""
    failed: Mapping[int, str]
    """Why others did not."""
    spans: tuple[Span, ...]


@dataclass(frozen=True)
class RoundResult:
    """One finished round: the rows that it adds to each table of :mod:`fedchunk.orchestrator.core.records`."""

    round_index: int
    tables: dict[str, pa.Table]
    """``rounds`` (one row), ``clients``, ``chunks``, ``ledger``."""
    problems: tuple[str, ...]
    """What went wrong with single clients, equal reasons once; for the log."""
    spans: tuple[Span, ...] = ()
    """What actors and coordinator did when, with ``profile`` only."""

    @property
    def summary(self) -> dict[str, object]:
        """The round's row of the ``rounds`` table as a dictionary."""
        row: dict[str, object] = self.tables["rounds"].to_pylist()[0]
        return row
