"""How many client actors, on what, as arithmetic over the settings and the cluster's resources."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from fedchunk.orchestrator.core.errors import ConfigError, Fault
from fedchunk.orchestrator.settings.whole import Settings


@dataclass(frozen=True)
class Placement:
    """The actor pool that a run asks Ray for."""

    number_of_actors: int
    device: str
    """``cpu`` or ``cuda``."""
    cpus: float
    """CPU share of each actor."""
    gpus: float
    """GPU share of each actor; 0 on the CPU."""

    @property
    def bundles(self) -> list[dict[str, float]]:
        """One bundle of a placement group per actor."""
        bundle = {"CPU": self.cpus} | ({"GPU": self.gpus} if self.gpus else {})
        return [dict(bundle) for _ in range(self.number_of_actors)]


def plan_placement(settings: Settings, resources: Mapping[str, float]) -> Placement:
    """The pool for these settings on a cluster with ``resources`` (Ray's names: CPU, GPU).

    As many actors as fit, but not more than a round has clients. Where ``number_of_actors`` says how many and nobody
    says what share of a GPU each gets, they share the GPUs there are. Raises ConfigError when cuda is asked for and the
    cluster has no GPU, or when not one actor fits.

    Example:
        >>> plan_placement(Settings(), {"CPU": 4.0}).number_of_actors
        4
    """
    runtime = settings.runtime
    all_gpus = math.floor(resources.get("GPU", 0.0))
    has_gpu = all_gpus > 0
    if runtime.device == "cuda" and not has_gpu:
        raise ConfigError([Fault("", "device", f"cuda needs a GPU in the cluster, which has {dict(resources)}")])
    device = "cuda" if has_gpu and runtime.device != "cpu" else "cpu"
    gpus = (runtime.gpus_per_actor or _even_share(all_gpus, runtime.number_of_actors)) if device == "cuda" else 0.0
    fit = math.floor(resources.get("CPU", 0.0) / runtime.cpus_per_actor)
    if gpus:
        fit = min(fit, _room_on_gpus(all_gpus, gpus))
    if fit < 1:
        needs = f"cpus_per_actor {runtime.cpus_per_actor:g}" + (f" and gpus_per_actor {gpus:g}" if gpus else "")
        raise ConfigError([Fault("", "cpus_per_actor", f"not one actor of {needs} fits into {dict(resources)}")])
    federation = settings.federation
    cohort = max(1, round(federation.number_of_clients * federation.client_sampling_rate))
    return Placement(runtime.number_of_actors or min(fit, cohort), device, runtime.cpus_per_actor, gpus)


def _even_share(all_gpus: int, actors: int | None) -> float:
    """The share of a GPU that each actor gets where they are spread evenly; at most a whole one."""
    return 1.0 if actors is None else 1.0 / math.ceil(actors / all_gpus)


def _room_on_gpus(all_gpus: int, share: float) -> int:
    """Actors that fit: a share of a GPU lies on one of them."""
    if share >= 1:
        return math.floor(all_gpus / share)
    return all_gpus * math.floor(1 / share + 1e-9)  # 1 / (1 / 93) is a little less than 93
