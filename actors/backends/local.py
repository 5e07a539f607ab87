"""The same actors in this process, one call after the other: for debugging and for fast tests.

As strict as Ray: every value crosses through pickle in both directions and arrays arrive read-only, so code that
writes into a message, or relies on two sides sharing an array, fails here as it would there. With ``transport: tcp``
the encoded messages also go through sockets, see :mod:`fedchunk.actors.backends.wire`.
"""

from __future__ import annotations

import itertools
import pickle
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import numpy as np

from fedchunk.actors.backends.memory import spared_collections
from fedchunk.actors.backends.wire import KindReader, Payload, Transport, Wire, WireCounts
from fedchunk.actors.client.experiment_data import prepare, test_parts
from fedchunk.actors.client.factory import ActorFactory, make_client
from fedchunk.actors.coordinator.assembly import build_coordinator, describe
from fedchunk.orchestrator.contract.messages import ModelState, RoundResult
from fedchunk.orchestrator.contract.ports import Call, FederationInfo, Observer, Outcome, Raised, Returned, Snapshot
from fedchunk.orchestrator.core.errors import ActorsUnavailable, reason_of
from fedchunk.orchestrator.learning.data.dataset import LoadedDataset
from fedchunk.orchestrator.learning.data.load import load_dataset
from fedchunk.orchestrator.methods.method import layout_for
from fedchunk.orchestrator.settings.whole import Settings


class LocalHandle:
    """A pickled value: nobody but the backend looks inside, as with ``ray.ObjectRef``."""

    _numbers = itertools.count()

    def __init__(self, value: Any) -> None:
        self.key = str(next(self._numbers))
        self._buffers: list[bytes] = []
        self._pickled = pickle.dumps(
            value, protocol=5, buffer_callback=lambda buffer: self._buffers.append(buffer.raw().tobytes())
        )

    def value(self) -> Any:
        """A fresh copy; arrays rest on immutable bytes, so they are read-only."""
        return pickle.loads(self._pickled, buffers=self._buffers)

    load = value


class LocalClientGroup:
    """Client actors as plain objects. A call runs when its outcome is asked for."""

    def __init__(self, actors: list[Any], transport: Transport | None = None) -> None:
        """``transport`` carries the encoded messages among arguments and returned values; states and reports never."""
        self._actors = deque(actors)
        self._transport = transport
        self._queue: deque[Call] = deque()

    @property
    def size(self) -> int:
        """Actors in the pool."""
        return len(self._actors)

    def put(self, value: Any) -> LocalHandle:
        """Share one value with all actors."""
        return LocalHandle(value)

    def abandon(self) -> None:
        """Forgets the calls that wait."""
        self._queue.clear()

    def submit(self, call: Call) -> None:
        """Queue a call."""
        self._queue.append(call)

    def next_outcome(self) -> Outcome:
        """Runs the call that waited longest, on the actor that rested longest."""
        if not self._queue:
            raise ActorsUnavailable("no call is in flight")
        call = self._queue.popleft()
        actor = self._actors[0]
        self._actors.rotate(-1)
        arguments = [self._received(self._resolve(argument)) for argument in call.arguments]
        try:
            result = getattr(actor, call.method)(*arguments)
        except Exception as error:
            return Raised(call, reason_of(error))
        returned = [LocalHandle(value) for value in (result if call.values + call.handles > 1 else (result,))]
        values = tuple(self._sent(handle.value()) for handle in returned[: call.values])
        return Returned(call, values, tuple(returned[call.values :]))

    def _received(self, argument: Any) -> Any:
        """An argument as the client gets it."""
        return _carried(argument, self._transport.down) if self._transport else argument

    def _sent(self, value: Any) -> Any:
        """A returned value as the coordinator gets it."""
        return _carried(value, self._transport.up) if self._transport else value

    @staticmethod
    def _resolve(argument: Any) -> Any:
        return argument.value() if isinstance(argument, LocalHandle) else LocalHandle(argument).value()


def _carried(value: Any, carry: Callable[[Payload], Payload]) -> Any:
    """A value with its messages, if it is one or a tuple of them, as they came through."""
    if isinstance(value, tuple):
        return tuple(carry(part) if _is_message(part) else part for part in value)
    return carry(value) if _is_message(value) else value


def _is_message(value: Any) -> bool:
    """Whether a value is an encoded message: nothing else that crosses is a run of bytes."""
    return isinstance(value, np.ndarray) and value.dtype == np.uint8 and value.ndim == 1


class LocalFederation:
    """A federation in this process."""

    def __init__(
        self,
        settings: Settings,
        observer: Observer,
        make_actor: ActorFactory = make_client,
        load: Callable[[Settings], LoadedDataset] | None = None,
    ) -> None:
        """``load`` loads the data set, where somebody keeps it."""
        self._settings = settings
        self._load = load or load_dataset
        self._observer = observer
        self._make_actor = make_actor
        self._wire: Wire | None = None
        self._model: ModelState | None = None
        self._last_round: int | None = 0
        self._wanted: Callable[[int], bool] = lambda round_index: False

    def __enter__(self) -> LocalFederation:
        with ExitStack() as opened:
            if self._settings.runtime.transport == "tcp":
                self._wire = opened.enter_context(Wire(self._sizes, self._settings.runtime.client_timeout_s))
            self._start()
            opened.enter_context(spared_collections())
            self._opened = opened.pop_all()
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Closes the sockets, if there are any, and gives the collector back what is there."""
        self._opened.close()

    def _start(self) -> None:
        settings = self._settings
        self._observer.stage(f"loading {settings.data.dataset_type}")
        data = prepare(settings, self._load)
        self._observer.stage("building the model")
        device = choose_device(settings)
        count = settings.runtime.number_of_actors or 1
        group = LocalClientGroup([self._make_actor(settings, device, data) for _ in range(count)], self._wire)
        samples = data.partition.sizes
        self._coordinator, beginning = build_coordinator(settings, group, samples, test_parts(settings, data))
        self._info = describe(
            settings, beginning, data.description, samples, backend="local", device=device, number_of_actors=count
        )
        spec = beginning.spec
        self._kinds = KindReader(layout_for(settings.chunking, spec), spec, samples)

    def _sizes(self, payload: Payload) -> dict[str, int]:
        """A message's bytes by kind. There are no messages before the model is known."""
        return self._kinds(payload)

    @property
    def info(self) -> FederationInfo:
        """What is known before the first round."""
        return self._info

    def run_round(self, round_index: int, observer: Observer) -> RoundResult:
        """One round, from 1."""
        self._wanted(round_index)
        self._kinds.round_index = round_index
        self._last_round = None  # what is begun and not ended is no state to go on from
        played = self._coordinator.play(
            round_index, lambda done, cohort: observer.clients_done(round_index, done, cohort)
        )
        self._last_round = round_index
        self._model = None if self._settings.federation.peer_to_peer else self._coordinator.model
        return played.result()

    def keep_states(self, wanted: Callable[[int], bool]) -> None:
        """Asked before each round; the last one can be snapshot in any case."""
        self._wanted = wanted

    def snapshot(self, round_index: int) -> Snapshot | None:
        """What the federation is after the last round."""
        if round_index != self._last_round:
            return None
        values, objects = self._coordinator.saved()
        return Snapshot(round_index, values, objects)

    def restore(self, snapshot: Snapshot) -> None:
        """Makes it what it was."""
        self._coordinator.restore(snapshot.coordinator, [LocalHandle(one.load()) for one in snapshot.objects])
        self._last_round, self._model = snapshot.round_index, None

    def hold(self) -> int:
        """No round is in progress while somebody can ask."""
        return self._last_round or 0

    def final_model(self) -> ModelState:
        """The coordinator's model after the last round that ended; one that failed may have moved it already."""
        return self._model or self._coordinator.model

    @property
    def wire_counts(self) -> WireCounts | None:
        """What went through the sockets so far; None with ``transport: object_store``."""
        return self._wire.counts if self._wire else None


def choose_device(settings: Settings) -> str:
    """``device`` of the settings; ``auto`` is cuda where torch finds one."""
    import torch

    if settings.runtime.device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return settings.runtime.device
