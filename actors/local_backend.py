"""The same actors in this process, one call after the other: for debugging and for fast tests.

As strict as Ray: every value crosses through pickle in both directions and arrays arrive read-only, so code that
writes into a message, or relies on two sides sharing an array, fails here as it would there.
"""

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import Callable
from typing import Any

from actors.assembly import build_coordinator, describe
from actors.experiment_data import ExperimentData, prepare, test_parts
from orchestrator.errors import ActorsUnavailable, reason_of
from orchestrator.messages import ModelState, RoundResult
from orchestrator.ports import Call, FederationInfo, Observer, Outcome, Raised, Returned
from orchestrator.settings import Settings

ActorFactory = Callable[[Settings, str, ExperimentData], Any]
"""Makes one client actor."""


class LocalHandle:
    """A pickled value: nobody but the backend looks inside, as with ``ray.ObjectRef``."""

    def __init__(self, value: Any) -> None:
        self._buffers: list[bytes] = []
        self._pickled = pickle.dumps(
            value, protocol=5, buffer_callback=lambda buffer: self._buffers.append(buffer.raw().tobytes())
        )

    def value(self) -> Any:
        """A fresh copy; arrays rest on immutable bytes, so they are read-only."""
        return pickle.loads(self._pickled, buffers=self._buffers)


class LocalClientGroup:
    """Client actors as plain objects. A call runs when its outcome is asked for."""

    def __init__(self, actors: list[Any]) -> None:
        self._actors = deque(actors)
        self._queue: deque[Call] = deque()

    @property
    def size(self) -> int:
        """Actors in the pool."""
        return len(self._actors)

    def put(self, value: Any) -> LocalHandle:
        """Share one value with all actors."""
        return LocalHandle(value)

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
        arguments = [self._resolve(argument) for argument in call.arguments]
        try:
            result = getattr(actor, call.method)(*arguments)
        except Exception as error:
            return Raised(call, reason_of(error))
        returned = [LocalHandle(value) for value in (result if call.values + call.handles > 1 else (result,))]
        return Returned(call, tuple(h.value() for h in returned[: call.values]), tuple(returned[call.values :]))

    @staticmethod
    def _resolve(argument: Any) -> Any:
        return argument.value() if isinstance(argument, LocalHandle) else LocalHandle(argument).value()


def make_client(settings: Settings, device: str, data: ExperimentData) -> Any:
    """The real client. Imported here, because it imports torch."""
    from actors.client import Client

    return Client(settings, device, data.dataset, data.partition)


class LocalFederation:
    """A federation in this process."""

    def __init__(self, settings: Settings, observer: Observer, make_actor: ActorFactory = make_client) -> None:
        self._settings = settings
        self._observer = observer
        self._make_actor = make_actor

    def __enter__(self) -> LocalFederation:
        settings = self._settings
        self._observer.stage(f"loading {settings.data.dataset_type}")
        data = prepare(settings)
        self._observer.stage("building the model")
        device = choose_device(settings)
        count = settings.runtime.number_of_actors or 1
        group = LocalClientGroup([self._make_actor(settings, device, data) for _ in range(count)])
        samples = data.partition.sizes
        self._coordinator, spec = build_coordinator(settings, group, samples, test_parts(settings, data))
        self._info = describe(
            settings, spec, data.description, samples, backend="local", device=device, number_of_actors=count
        )
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Nothing to end: there are no processes."""

    @property
    def info(self) -> FederationInfo:
        """What is known before the first round."""
        return self._info

    def run_round(self, round_index: int, observer: Observer) -> RoundResult:
        """One round, from 1."""
        return self._coordinator.run_round(
            round_index, lambda done, cohort: observer.clients_done(round_index, done, cohort)
        )

    def final_model(self) -> ModelState:
        """The coordinator's model as it is now."""
        return self._coordinator.model


def choose_device(settings: Settings) -> str:
    """``device`` of the settings; ``auto`` is cuda where torch finds one."""
    import torch

    if settings.runtime.device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return settings.runtime.device
