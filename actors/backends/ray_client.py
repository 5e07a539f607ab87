"""Client actors on Ray: the shell around the plain client, and how one is started in its bundle.

Imports next to nothing: the driver reads this module before it starts Ray, and an actor's process before torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ray
from ray.util.placement_group import PlacementGroup
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from fedchunk.actors.backends.inline import most_of_states, outside_calls
from fedchunk.actors.backends.memory import keep_freed_memory, set_aside, uncollected

if TYPE_CHECKING:
    from fedchunk.actors.backends.placement import Placement
    from fedchunk.actors.client.experiment_data import ExperimentData
    from fedchunk.actors.client.factory import ActorFactory
    from fedchunk.orchestrator.contract.ports import Job
    from fedchunk.orchestrator.settings.whole import Settings


class _ClientShell:
    """A client actor: makes the plain client in this process and passes calls on.

    It is started before the data is there, and imports torch meanwhile. The client is made in ``ready``, not in the
    constructor: what a method raises reaches the caller with its type and fields, what a constructor raises only as the
    text of an actor's death.
    """

    def __init__(self, make_actor: ActorFactory, settings: Settings, device: str) -> None:
        self._make_actor, self._settings, self._device = make_actor, settings, device
        self._most_of_states = most_of_states(settings)

    def warm_up(self) -> None:
        keep_freed_memory()
        with uncollected():
            from fedchunk.actors.client.factory import client_class

            client_class(self._settings)

    def take_data(self, data: ExperimentData) -> None:
        self._data = data

    def ready(self) -> str:
        """The machine that this is on, once the client stands."""
        self._client = self._make_actor(self._settings, self._device, self._data)
        set_aside()
        machine: str = ray.get_runtime_context().get_node_id()
        return machine

    def ask(self, job: Job, handles: int, *arguments: Any) -> Any:
        """What the client answers; the last ``handles`` of its values stay where they are until later calls need them.

        If its device is lost the actor ends: then another is started and asked instead.
        """
        try:
            answer = getattr(self._client, job)(*arguments)
            if not handles:
                return answer
            return *answer[:-handles], *(outside_calls(states, self._most_of_states) for states in answer[-handles:])
        finally:
            if job != "initial_model" and not self._client.device_works():
                ray.actor.exit_actor()  # type: ignore[no-untyped-call]


class Spawner:
    """Starts a client actor in a bundle: the driver the first ones, the coordinator those that replace them."""

    def __init__(
        self, make_actor: ActorFactory, settings: Settings, placement: Placement, group: PlacementGroup
    ) -> None:
        self._make_actor = make_actor
        self._settings = settings
        self._placement = placement
        self._group = group

    def __call__(self, bundle: int) -> Any:
        """Starts an actor in ``bundle`` and returns its handle at once; call ``take_data`` before ``ready``."""
        return self._start(bundle, self._placement.cpus, self._placement.gpus)

    @property
    def has_spares(self) -> bool:
        """Whether an actor may stand by: it costs memory of the host, but none of a GPU."""
        return not self._placement.gpus

    def spare(self, bundle: int) -> Any:
        """The same, of an actor that reserves nothing: the bundle's own has that, until it is lost."""
        return self._start(bundle, 0, 0)

    def _start(self, bundle: int, cpus: float, gpus: float) -> Any:
        actor_class = ray.remote(_ClientShell).options(
            num_cpus=cpus,
            num_gpus=gpus,
            scheduling_strategy=PlacementGroupSchedulingStrategy(self._group, placement_group_bundle_index=bundle),
            max_restarts=0,
        )
        actor: Any = actor_class.remote(self._make_actor, self._settings, self._placement.device)
        actor.warm_up.remote()
        return actor
