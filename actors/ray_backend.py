"""Ray: where actors are placed, started and ended. Only the modules ``actors.ray_*`` import ray.

    driver      RayFederation     starts or joins Ray, makes the placement group, asks for rounds
    actor       _CoordinatorShell the coordinator, which owns the pool and all objects; needs no CPU slot
    actors      _ClientShell      the client actors, one per bundle

Actor classes are plain; a shell only imports the plain class in its own process, so that neither the driver nor
the coordinator imports torch.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import ray
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy, PlacementGroupSchedulingStrategy

from actors.assembly import build_coordinator, describe
from actors.experiment_data import ExperimentData, prepare, test_parts
from actors.local_backend import ActorFactory, make_client
from actors.placement import Placement, plan_placement
from actors.ray_group import GroupLimits, RayClientGroup
from actors.ray_start import start_ray
from orchestrator.errors import ActorsUnavailable, ConfigError, Fault, FedchunkError
from orchestrator.messages import ModelSpec, ModelState, RoundResult
from orchestrator.ports import FederationInfo, Observer
from orchestrator.settings import Settings

POLL_S = 0.25
"""How often the driver asks how far a round is; an answer costs about a millisecond."""

SILENCE_S = 120.0
"""How long the coordinator may not answer at all before it counts as lost. It answers from a thread of its own."""


NO_TCP = "got tcp, which joins two ends in one process; allowed on Ray: object_store. Remove it, or run with --local"


class _ClientShell:
    """A client actor: makes the plain client in this process and passes calls on.

    The client is made in ``ready``, not in the constructor: what a method raises reaches the caller with its type
    and fields, what a constructor raises only as the text of an actor's death.
    """

    def __init__(self, make_actor: ActorFactory, settings: Settings, device: str, data: ExperimentData) -> None:
        self._make_actor, self._arguments = make_actor, (settings, device, data)

    def ready(self) -> int:
        self._client = self._make_actor(*self._arguments)
        return os.getpid()

    def initial_model(self) -> Any:
        return self._client.initial_model()

    def train(self, *arguments: Any) -> Any:
        return self._client.train(*arguments)

    def evaluate(self, *arguments: Any) -> Any:
        return self._client.evaluate(*arguments)

    def evaluate_client(self, *arguments: Any) -> Any:
        return self._client.evaluate_client(*arguments)

    def emit_agreed(self, *arguments: Any) -> Any:
        return self._client.emit_agreed(*arguments)

    def train_peer(self, *arguments: Any) -> Any:
        return self._client.train_peer(*arguments)

    def mix_peer(self, *arguments: Any) -> Any:
        return self._client.mix_peer(*arguments)

    def survey(self, *arguments: Any) -> Any:
        return self._client.survey(*arguments)


class _CoordinatorShell:
    """The coordinator actor. ``progress`` is answered from a second thread while a round runs."""

    def __init__(
        self,
        settings: Settings,
        spawn: Callable[[int], Any],
        size: int,
        samples_per_client: tuple[int, ...],
        parts: tuple[slice, ...],
    ) -> None:
        self._settings, self._spawn, self._size = settings, spawn, size
        self._samples, self._parts = samples_per_client, parts
        self._progress = (0, 0)

    def start(self) -> ModelSpec:
        runtime = self._settings.runtime
        limits = GroupLimits(runtime.startup_timeout_s, runtime.client_timeout_s)
        group = RayClientGroup(self._spawn, self._size, limits)
        self._coordinator, spec = build_coordinator(self._settings, group, self._samples, self._parts)
        return spec

    def run_round(self, round_index: int) -> RoundResult:
        self._progress = (0, 0)
        return self._coordinator.run_round(round_index, self._note)

    def progress(self) -> tuple[int, int]:
        return self._progress

    def final_model(self) -> ModelState:
        return self._coordinator.model

    def _note(self, done: int, cohort: int) -> None:
        self._progress = (done, cohort)


class Spawner:
    """Starts a client actor in a bundle. Pickled to the coordinator, which then owns the actors."""

    def __init__(
        self, make_actor: ActorFactory, settings: Settings, placement: Placement, group: PlacementGroup, data: Any
    ) -> None:
        self._make_actor = make_actor
        self._settings = settings
        self._placement = placement
        self._group = group
        self._data = [data]  # in a list, so that the reference is passed on and not the value

    def __call__(self, bundle: int) -> Any:
        """Starts an actor in ``bundle`` and returns its handle at once."""
        strategy = PlacementGroupSchedulingStrategy(self._group, placement_group_bundle_index=bundle)
        actor_class = ray.remote(_ClientShell).options(
            num_cpus=self._placement.cpus,
            num_gpus=self._placement.gpus,
            scheduling_strategy=strategy,
            max_restarts=0,
        )
        return actor_class.remote(self._make_actor, self._settings, self._placement.device, self._data[0])


class RayFederation:
    """A federation on Ray. Starts a Ray of its own unless an address, or a running driver, says which to use."""

    def __init__(
        self,
        settings: Settings,
        address: str | None,
        observer: Observer,
        make_actor: ActorFactory = make_client,
    ) -> None:
        self._settings = settings
        self._address = address
        self._observer = observer
        self._make_actor = make_actor
        self._owns_ray = False
        self._group: PlacementGroup | None = None
        self._coordinator: Any = None

    def __enter__(self) -> RayFederation:
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Ends the actors that this started (clients go with the coordinator, their owner) and its own Ray."""
        if self._coordinator is not None:
            ray.kill(self._coordinator, no_restart=True)
        if self._group is not None:
            remove_placement_group(self._group)
        if self._owns_ray:
            ray.shutdown()

    @property
    def info(self) -> FederationInfo:
        """What is known before the first round."""
        return self._info

    def run_round(self, round_index: int, observer: Observer) -> RoundResult:
        """One round, from 1. Raises RoundFailed, or ActorsUnavailable when the coordinator is lost."""
        reference = self._coordinator.run_round.remote(round_index)
        while not ray.wait([reference], timeout=POLL_S)[0]:
            done, cohort = _answer(self._coordinator.progress.remote(), SILENCE_S, "the coordinator")
            if cohort:
                observer.clients_done(round_index, done, cohort)
        result: RoundResult = _answer(reference, SILENCE_S, "the coordinator")
        return result

    def final_model(self) -> ModelState:
        """The coordinator's model as it is now."""
        model: ModelState = _answer(self._coordinator.final_model.remote(), SILENCE_S, "the coordinator")
        return model

    def _start(self) -> None:
        settings = self._settings
        if settings.runtime.transport == "tcp":
            raise ConfigError([Fault("", "transport", NO_TCP)])
        self._observer.stage("starting Ray" if self._address is None else f"joining Ray at {self._address}")
        if not ray.is_initialized():
            start_ray(settings.runtime, self._address)
            self._owns_ray = True
        placement = plan_placement(settings, _resources())
        self._observer.stage(f"loading {settings.data.dataset_type}")
        data = prepare(settings)
        self._observer.stage(f"starting {placement.number_of_actors} client actors")
        self._group = self._place(placement)
        samples = data.partition.sizes
        spawner = Spawner(self._make_actor, settings, placement, self._group, ray.put(data))
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
        coordinator_class = ray.remote(_CoordinatorShell).options(
            num_cpus=0, max_concurrency=2, scheduling_strategy=here
        )
        self._coordinator = coordinator_class.remote(
            settings, spawner, placement.number_of_actors, samples, test_parts(settings, data)
        )
        limit = (settings.runtime.startup_timeout_s + settings.runtime.client_timeout_s) * settings.runtime.max_attempts
        spec = _answer(self._coordinator.start.remote(), limit, "the coordinator")
        self._info = describe(
            settings,
            spec,
            data.description,
            samples,
            backend="ray",
            device=placement.device,
            number_of_actors=placement.number_of_actors,
        )

    def _place(self, placement: Placement) -> PlacementGroup:
        runtime = self._settings.runtime
        group: PlacementGroup = placement_group(placement.bundles, strategy=runtime.placement_group_strategy)
        if not group.wait(timeout_seconds=runtime.startup_timeout_s):
            remove_placement_group(group)
            raise ActorsUnavailable(
                f"no room for {placement.number_of_actors} client actors of {placement.bundles[0]} with strategy "
                f"{runtime.placement_group_strategy} within {runtime.startup_timeout_s:g} s; the cluster has "
                f"{_resources()}. Lower number_of_actors, cpus_per_actor or gpus_per_actor, or add nodes."
            )
        return group


def _resources() -> dict[str, float]:
    return dict(ray.cluster_resources())  # type: ignore[no-untyped-call]


def _answer(reference: Any, limit_s: float, who: str) -> Any:
    """The value behind a reference; our own errors come as themselves, Ray's as ActorsUnavailable."""
    try:
        return ray.get(reference, timeout=limit_s)
    except ray.exceptions.RayTaskError as error:
        cause = error.cause
        if isinstance(cause, FedchunkError):
            raise cause from None
        raise
    except ray.exceptions.ActorDiedError as error:
        raise ActorsUnavailable(f"{who} died: {error}") from error
    except ray.exceptions.RayError as error:
        raise ActorsUnavailable(f"{who} did not answer within {limit_s:g} s ({type(error).__name__})") from error
