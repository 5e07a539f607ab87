"""The few protocols between the parts. Who implements what:

    Federation    actors.backends.ray_backend, actors.backends.local the running clients and coordinator, for the driver
    ClientGroup   the same two                                       the client actors, for the coordinator
    Recorder      orchestrator.recording.run_folder, orchestrator.tracking
    Observer      the command line's progress display

Handles stand for values that stay where they are (Ray's object store). Nobody but the backend looks into one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import pyarrow as pa

from fedchunk.orchestrator.contract.messages import ModelSpec, ModelState, RoundResult
from fedchunk.orchestrator.contract.named_tensors import Tensors

Job = Literal[
    "initial_model",
    "train_group",
    "emit_group",
    "evaluate",
    "evaluate_group",
    "evaluate_own",
    "evaluate_peer",
    "train_peers",
    "mix_peers",
    "mean_and_consensus",
    "train_relay",
    "add_messages",
    "changed_since",
    "shared_model",
    "average_up",
    "average_down",
]
"""What a client actor can be asked for: a method of ``StarClient``, ``PeerClient`` or ``RelayClient``."""

Handle = Any
"""A reference to a value in the object store (``ray.ObjectRef`` or its local twin), or a small value itself."""


@dataclass(frozen=True)
class DataDescription:
    """What the records say of the data."""

    name: str
    train_samples: int
    test_samples: int
    num_classes: int
    digest: str
    """Of samples and partition together, at most 36 characters."""


@dataclass(frozen=True)
class FederationInfo:
    """What is known once the actors stand and before the first round."""

    spec: ModelSpec
    layout: pa.Table
    """The ``layout`` table."""
    data: DataDescription
    samples_per_client: tuple[int, ...]
    backend: str
    """``ray`` or ``local``."""
    device: str
    """``cpu`` or ``cuda``."""
    number_of_actors: int
    frozen: Tensors = field(default_factory=dict)
    """Parameters that are not trained, by name."""


@dataclass(frozen=True)
class RunSummary:
    """How a run ended; what ``fedchunk run --json`` prints."""

    status: str
    """``finished``, ``failed`` or ``interrupted``."""
    rounds_completed: int
    accuracy: float | None
    """Of the coordinator's model at the last evaluated round; None if none was."""
    loss: float | None
    client_accuracy_mean: float | None
    uplink_bytes: int
    downlink_bytes: int
    dense_uplink_bytes: int
    dense_downlink_bytes: int
    wall_s: float
    weights_sha256: str | None
    """Of the final global weights as little-endian float32; None if there are none."""
    error: str | None = None
    actors_busy: float | None = None
    """Time that client actors worked, of the rounds' time on all of them; None where no round ended."""
    weights_round: int | None = None
    """The round of the final weights: the last one, unless it was lost with the coordinator; None if there are none."""
    unwritten: tuple[str, ...] = ()
    """What could not be written into the run's folder, in words."""
    forked_from: Mapping[str, Any] | None = None
    """The run, round and state that it branched off; None where it began at the beginning."""
    target_metric: str = "accuracy"
    """What the run is judged by."""
    target: float | None = None
    """Of the coordinator's model at the last evaluated round; None if none was, or where it is accuracy."""
    client_target_mean: float | None = None
    """The same of the clients' own models."""
    own_target_mean: float | None = None
    """What the run is judged by, of the clients' own models each on its own samples; None without any."""
    own_target_worst_tenth: float | None = None
    """The same of the worst tenth of the clients."""


class Stored(Protocol):
    """What some clients remember, wherever it lies."""

    @property
    def key(self) -> str:
        """Its name; equal only for the same value."""
        ...

    def load(self) -> Any:
        """The value: :class:`ClientState`, or a tuple of :class:`ClientStates`."""
        ...


@dataclass(frozen=True)
class Snapshot:
    """All that a federation is between two rounds. See :mod:`fedchunk.orchestrator.recording.checkpoints`."""

    round_index: int
    """The last round that is in it; 0 before the first."""
    coordinator: Mapping[str, Any]
    """What the coordinator knows, see :mod:`fedchunk.orchestrator.contract.trees`. ``weights`` is its model; peers have
    none."""
    objects: Sequence[Stored]
    """Clients' states, numbered as the coordinator numbers them."""


class Federation(Protocol):
    """Clients and coordinator, ready to run. A context manager: leaving it ends every process it started."""

    def __enter__(self) -> Federation: ...

    def __exit__(self, *exc_info: object) -> None: ...

    @property
    def info(self) -> FederationInfo:
        """What is known before the first round."""
        ...

    def run_round(self, round_index: int, observer: Observer) -> RoundResult:
        """One round, from 1.

        Raises:
            RoundFailed: too few clients finished.
            PeersApart: those that did cannot reach each other.
            StatesLost: it can go on after :meth:`restore`.
            CoordinatorLost: another federation can go on after its :meth:`restore`.
            ActorsUnavailable: no client actor is left.
        """
        ...

    def keep_states(self, wanted: Callable[[int], bool]) -> None:
        """From now on :meth:`snapshot` may be asked for the rounds for which this is true. It is called once for each
        round, before the round begins."""
        ...

    def snapshot(self, round_index: int) -> Snapshot | None:
        """What the federation was after a round; None where it has gone on since."""
        ...

    def restore(self, snapshot: Snapshot) -> None:
        """Makes it what it was: the next round is the one after the snapshot's."""
        ...

    def hold(self) -> int:
        """No round begins any more after the one in progress; which is the last, and can be snapshot."""
        ...

    def final_model(self) -> ModelState:
        """The coordinator's model after the last round that ended. Raises ActorsUnavailable where it is gone."""
        ...


class Recorder(Protocol):
    """Keeps what a run shows. Every recorder is told of a run by a thread of its own, so it may take its time.

    Only the run's folder counts: where it cannot begin, the run is given up. Of any other recorder an exception is a
    warning, and costs what it would have recorded.
    """

    def start(self, info: FederationInfo) -> None:
        """Before anything else, while the first round runs."""
        ...

    def record_rounds(self, results: Sequence[RoundResult]) -> None:
        """Rounds that have finished, one or more, in order."""
        ...

    def finish(self, summary: RunSummary, spec: ModelSpec | None, model: ModelState | None) -> None:
        """After the last round, also of a failed or interrupted run (``model`` None if there is none)."""
        ...


class Observer(Protocol):
    """Watches progress, for people."""

    def stage(self, name: str) -> None:
        """What is being done before the first round ("starting Ray", "loading digits")."""
        ...

    def clients_done(self, round_index: int, done: int, cohort: int) -> None:
        """How far the round in progress is."""
        ...

    def round_done(self, result: RoundResult) -> None:
        """A round ended."""
        ...


@dataclass(frozen=True)
class Call:
    """One call to one client actor: a job and its arguments, handles among them."""

    key: int
    """What the caller knows the call by (a client, a part of the test set); unique among those in flight."""
    method: Job
    arguments: tuple[Any, ...]
    values: int = 1
    """How many of the returned values the caller looks at; they come first."""
    handles: int = 0
    """How many more stay where they are, behind handles."""
    clients: int = 1
    """For how many clients it works: the limit of its time, and how far a round is, count by clients."""
    work: int = 1
    """How much there is to do, such as samples to train on: calls of a method take about as long as they have work."""
    whose: str = ""
    """For whom it works, in words."""
    near: str | None = None
    """The machine that has most of what it needs, as :class:`Returned` named it; None: any."""


@dataclass(frozen=True)
class Returned:
    """A call came back: the values themselves, and handles to the others."""

    call: Call
    values: tuple[Any, ...]
    handles: tuple[Handle, ...]
    where: str | None = None
    """The machine that has the values behind the handles; None where there is only one."""


@dataclass(frozen=True)
class Lost:
    """A call did not come back because of a machine (actor dead or frozen, node gone): it may be asked again."""

    call: Call
    reason: str
    arguments_lost: bool = False
    """A value behind one of the arguments is gone with its node: the same call would be lost again."""


@dataclass(frozen=True)
class Raised:
    """The code of the call raised: asking again would raise again."""

    call: Call
    reason: str


Outcome = Returned | Lost | Raised


class ClientGroup(Protocol):
    """A pool of client actors. Takes any number of calls, runs them as actors are free, replaces lost actors."""

    @property
    def size(self) -> int:
        """Actors in the pool."""
        ...

    def put(self, value: Any) -> Handle:
        """Share one value with all actors; the coordinator owns it."""
        ...

    def submit(self, call: Call) -> None:
        """Queue a call."""
        ...

    def abandon(self) -> None:
        """Forgets the calls that no actor has yet; what actors answer to the others is nobody's."""
        ...

    def next_outcome(self) -> Outcome:
        """The next call that ended, whichever it is; waits within the settings' limits.

        Values come as Ray gives them: copied through pickle, arrays read-only. Raises ActorsUnavailable when no
        actor is left that could take what is queued.
        """
        ...
