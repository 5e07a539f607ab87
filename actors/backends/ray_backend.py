"""Ray: where actors are placed, started and ended. Only the modules ``actors.backends.ray_*`` import ray.

    driver      RayFederation     starts or joins Ray, makes the placement group, asks for rounds
    actor       _CoordinatorShell the coordinator, which owns the pool and all objects; needs no CPU slot
    actors      _ClientShell      the client actors, one per bundle

Actor classes are plain; a shell only imports the plain class in its own process, so that neither the driver nor
the coordinator imports torch.

Nothing waits at the start that need not: the data is loaded in a thread while Ray starts, and the actors are asked for
before it is there, so that they import torch meanwhile.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pyarrow as pa
import ray
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from fedchunk.actors.backends.memory import uncollected
from fedchunk.actors.backends.placement import Placement, plan_placement
from fedchunk.actors.backends.ray_client import Spawner
from fedchunk.actors.backends.ray_coordinator import RoundOrder, _CoordinatorShell
from fedchunk.actors.backends.ray_start import start_ray
from fedchunk.actors.backends.round_rows import RoundRows
from fedchunk.actors.client.experiment_data import ExperimentData, prepare, test_parts
from fedchunk.actors.client.factory import ActorFactory, make_client
from fedchunk.orchestrator.contract.messages import ModelState, RoundResult
from fedchunk.orchestrator.contract.ports import FederationInfo, Observer, Snapshot
from fedchunk.orchestrator.core.errors import ActorsUnavailable, ConfigError, CoordinatorLost, Fault, FedchunkError
from fedchunk.orchestrator.learning.data.mapped import by_place
from fedchunk.orchestrator.settings.rules.peers import relays
from fedchunk.orchestrator.settings.whole import Settings

logger = logging.getLogger(__name__)

POLL_S = 0.25
"""How often the driver asks how far a round is; an answer costs about a millisecond."""

ROOM_S = 5.0
"""How long room for actors is waited for before it is said."""

SILENCE_S = 120.0
"""How long the coordinator may not answer at all before it counts as lost. It answers from a thread of its own."""

NO_TCP = "got tcp, which joins two ends in one process; allowed on Ray: object_store. Remove it, or run with --local"


class _StoredState:
    """A reference, as a snapshot has it."""

    def __init__(self, reference: Any) -> None:
        self.key = reference.hex()
        self._reference = reference

    def load(self) -> Any:
        """The value. Raises ActorsUnavailable where it is gone."""
        return _answer(self._reference, SILENCE_S, "the owner of clients' states")


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
        self._ahead: dict[int, Any] = {}
        self._last_round = 0
        self._generation = 0
        self._wanted: Callable[[int], bool] = lambda round_index: False

    def __enter__(self) -> RayFederation:
        try:
            with uncollected():
                self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Ends the actors that this started (clients go with their placement group) and its own Ray."""
        with contextlib.suppress(Exception):  # Ray itself may be gone; however that is, the run has ended as it has
            if self._coordinator is not None:
                ray.kill(self._coordinator, no_restart=True)
            if self._group is not None:
                remove_placement_group(self._group)
        if self._owns_ray:
            with contextlib.suppress(Exception):
                ray.shutdown()

    @property
    def info(self) -> FederationInfo:
        """What is known before the first round."""
        return self._info

    def run_round(self, round_index: int, observer: Observer) -> RoundResult:
        """One round, from 1, in order. Raises as :class:`Federation` says."""
        last = self._settings.federation.federated_learning_rounds
        for index in range(round_index, min(round_index + self._plays_on, last) + 1):
            if index not in self._ahead:
                order = RoundOrder(index, self._generation, self._plays_on, self._wanted(index))
                self._ahead[index] = self._coordinator.run_round.remote(order)
        reference = self._ahead.pop(round_index)
        while not ray.wait([reference], timeout=POLL_S)[0]:
            done, cohort, notices = self._answer(self._coordinator.progress.remote())
            for notice in notices:
                logger.warning("%s", notice)
            if cohort:
                observer.clients_done(round_index, done, cohort)
        rows: RoundRows = self._answer(reference)
        self._last_round = round_index
        return rows.result()

    def final_model(self) -> ModelState:
        """The coordinator's model after the last round that :meth:`run_round` returned."""
        model: ModelState = self._answer(self._coordinator.final_model.remote(self._last_round))
        return model

    def keep_states(self, wanted: Callable[[int], bool]) -> None:
        """Which rounds' ends may be asked for. A round is asked for while the one before it runs."""
        self._wanted = wanted

    def snapshot(self, round_index: int) -> Snapshot | None:
        """What the federation was after a round. Clients' states stay where they are until they are loaded."""
        saved = self._answer(self._coordinator.snapshot.remote(round_index))
        if saved is None:
            return None
        values, references = saved
        return Snapshot(round_index, values, [_StoredState(reference) for reference in references])

    def restore(self, snapshot: Snapshot) -> None:
        """Makes it what it was. The driver owns the clients' states then, until they have trained again."""
        self._generation += 1
        self._ahead = {}
        references = [ray.put(one.load()) for one in snapshot.objects]
        self._answer(
            self._coordinator.restore.remote(
                snapshot.round_index, dict(snapshot.coordinator), references, self._generation
            ),
            self._settings.runtime.client_timeout_s,
        )
        self._last_round = snapshot.round_index

    def hold(self) -> int:
        """No round begins any more after the one in progress; which is the last."""
        last: int = self._answer(self._coordinator.hold.remote())
        return last

    @staticmethod
    def _answer(reference: Any, limit_s: float = SILENCE_S) -> Any:
        return _answer(reference, limit_s, "the coordinator")

    @property
    def _plays_on(self) -> bool:
        """Whether the next round is sure to come, so that the coordinator need not wait to be asked for it."""
        federation = self._settings.federation
        may_stop = federation.stop_at is not None or federation.patience is not None
        shares_a_model = not federation.peer_to_peer or relays(self._settings) is not None
        return shares_a_model and not may_stop

    def _start(self) -> None:
        settings = self._settings
        if settings.runtime.transport == "tcp":
            raise ConfigError([Fault("", "transport", NO_TCP)])
        self._observer.stage("starting Ray" if self._address is None else f"joining Ray at {self._address}")
        with ThreadPoolExecutor(1, "fedchunk-data") as thread:
            loading = thread.submit(_prepare, settings)
            if not ray.is_initialized():
                start_ray(settings.runtime, self._address, large_calls=not settings.federation.peer_to_peer)
                self._owns_ray = True
            placement = plan_placement(settings, _resources())
            self._spawn(placement)
            self._observer.stage(f"loading {settings.data.dataset_type}")
            data = loading.result()
        self._observer.stage(f"starting {placement.number_of_actors} client actors")
        self._wait_for_room(placement)
        self._info = self._build(placement, data)

    def _spawn(self, placement: Placement) -> None:
        """Asks for all actors and waits for none. Clients first: they have torch to import."""
        settings = self._settings
        self._group = placement_group(placement.bundles, strategy=settings.runtime.placement_group_strategy)
        spawner = Spawner(self._make_actor, settings, placement, self._group)
        clients = [spawner(bundle) for bundle in range(placement.number_of_actors)]
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
        coordinator_class = ray.remote(_CoordinatorShell).options(
            num_cpus=0, max_concurrency=3, scheduling_strategy=here
        )
        self._coordinator = coordinator_class.remote(settings, spawner, clients)

    def _wait_for_room(self, placement: Placement) -> None:
        assert self._group is not None
        runtime = self._settings.runtime
        until = time.monotonic() + runtime.startup_timeout_s
        said = False
        while not self._group.wait(timeout_seconds=min(ROOM_S, max(0.0, until - time.monotonic()))):
            free = {name: amount for name, amount in _free().items() if name in placement.bundles[0]}
            wanted = f"{placement.number_of_actors} client actors of {_in_words(placement.bundles[0])}"
            if time.monotonic() >= until:
                raise ActorsUnavailable(
                    f"no room for {wanted} with strategy {runtime.placement_group_strategy} within "
                    f"{runtime.startup_timeout_s:g} s; free are {_in_words(free)} of {_in_words(_resources())}. Wait "
                    "for what else runs there, lower number_of_actors, cpus_per_actor or gpus_per_actor, or add nodes."
                )
            if not said:
                said = True
                self._observer.stage(
                    f"waiting up to {runtime.startup_timeout_s:g} s for {wanted}: free are {_in_words(free)}"
                )

    def _build(self, placement: Placement, data: ExperimentData) -> FederationInfo:
        """Hands the data out and has the coordinator built, which asks for the first model."""
        from fedchunk.actors.coordinator.assembly import Beginning, describe  # imported by now: see _prepare

        settings, samples = self._settings, data.partition.sizes
        if self._owns_ray and self._address is None:  # this machine alone; on others the files may not be there
            data = replace(data, dataset=by_place(data.dataset))
        limit = (settings.runtime.startup_timeout_s + settings.runtime.client_timeout_s) * settings.runtime.max_attempts
        started = self._coordinator.start.remote([ray.put(data)], samples, test_parts(settings, data))
        beginning: Beginning = _answer(started, limit, "the coordinator")
        return describe(
            settings,
            beginning,
            data.description,
            samples,
            backend="ray",
            device=placement.device,
            number_of_actors=placement.number_of_actors,
        )


def _prepare(settings: Settings) -> ExperimentData:
    """The data; and what the driver needs next is imported, while it waits for Ray."""
    import fedchunk.actors.coordinator.assembly  # noqa: F401

    pa.array([])  # with its first array pyarrow imports pandas

    return prepare(settings)


def _resources() -> dict[str, float]:
    return dict(ray.cluster_resources())  # type: ignore[no-untyped-call]


def _free() -> dict[str, float]:
    return dict(ray.available_resources())  # type: ignore[no-untyped-call]


def _in_words(resources: Mapping[str, float]) -> str:
    """Processors of a cluster in words; what else Ray counts is left out.

    Example:
        >>> _in_words({"CPU": 2.0, "memory": 1e9, "GPU": 0.5})
        '2 CPU, 0.5 GPU'
    """
    return ", ".join(f"{resources[name]:g} {name}" for name in ("CPU", "GPU") if name in resources) or "none"


def _answer(reference: Any, limit_s: float, who: str) -> Any:
    """The value behind a reference; our own errors come as themselves, Ray's as ActorsUnavailable."""
    try:
        return ray.get(reference, timeout=limit_s)
    except ray.exceptions.RayTaskError as error:
        cause = error.cause
        if isinstance(cause, FedchunkError):
            raise cause from None
        raise
    except (ray.exceptions.RayActorError, ray.exceptions.OwnerDiedError) as error:
        raise CoordinatorLost(f"{who} is gone: {_first_line(error)}") from error
    except ray.exceptions.GetTimeoutError as error:
        raise CoordinatorLost(f"{who} did not answer within {limit_s:g} s") from error
    except ray.exceptions.RayError as error:
        raise CoordinatorLost(f"{who} cannot be reached ({type(error).__name__}: {_first_line(error)})") from error


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]
