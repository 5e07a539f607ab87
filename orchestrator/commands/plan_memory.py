"""How much memory an experiment takes: estimates, each with its formula."""

from __future__ import annotations

from dataclasses import dataclass

from fedchunk.orchestrator.contract.messages import ModelSpec
from fedchunk.orchestrator.core import round_rules
from fedchunk.orchestrator.methods import grouping
from fedchunk.orchestrator.methods.method import (
    Method,
    all_know_one_model,
    forgets_states,
    keeps_home_alone,
    keeps_states,
)
from fedchunk.orchestrator.methods.topology import Topology
from fedchunk.orchestrator.settings.sections import TrainingSettings
from fedchunk.orchestrator.settings.whole import Settings

ACTOR_BASE_BYTES = 600_000_000
"""Private memory of an actor before it has a model: 0.45 GB for torch with CUDA libraries, 0.15 GB for torchvision
(measured on Linux; shared pages are counted once by the system)."""

OPTIMIZER_VECTORS = {"sgd": 0, "rmsprop": 1, "adam": 2, "adamw": 2}
"""Vectors of length P that an optimizer keeps; momentum adds one."""


@dataclass(frozen=True)
class Memory:
    """One line of the estimate."""

    what: str
    bytes: int
    formula: str


@dataclass(frozen=True)
class Held:
    """What lies in the object store beside the clients' states."""

    clients: int
    """Clients that take part at least once."""
    payloads: int
    """Bytes of one round's payloads."""
    data: int
    """Bytes of the data set."""


def memory_lines(
    settings: Settings, spec: ModelSpec, method: Method, topology: Topology | None, held: Held
) -> tuple[Memory, ...]:
    """Object store, coordinator, and each actor. Where one peer plays the coordinator it is as in a star."""
    topology = None if method.rule.relays == "to_root" else topology
    model = 4 * spec.num_parameters + 4 * spec.num_float_buffers + 8 * spec.num_integer_buffers
    return (
        _object_store(settings, spec, method, topology, held, model),
        _coordinator(settings, spec, method, topology, model),
        _actor(settings, spec, method, topology),
    )


def _object_store(
    settings: Settings, spec: ModelSpec, method: Method, topology: Topology | None, held: Held, model: int
) -> Memory:
    chunking, vector, num_chunks = settings.chunking, 4 * spec.num_parameters, method.layout.num_chunks
    keeps = topology is not None or keeps_states(settings)
    client, parts = (model + 4 * num_chunks, ["model", "4 C"]) if keeps else (0, [])
    if keeps_home_alone(settings) or (topology is None and all_know_one_model(settings)):
        client, parts = 4 * num_chunks, ["4 C"]
    if method.rule.relays == "to_all":
        client, parts = 4 * num_chunks, ["4 C"]
    if chunking.agrees:
        client, parts = client + num_chunks, ["model", "5 C"]
    if topology is not None and method.rule.keeps_copies:
        client += 2 * vector
        parts.append("2 P float32 of what was heard and not sent")
    elif method.withholds:
        client += vector
        parts.append("P float32 withheld")
    if settings.training.carries_momentum:
        # Where training began is kept, too: peer to peer until a peer has mixed, in a star where no model kept is that.
        begins = topology is not None or not (method.rule.keeps_residual or _keeps_start_alone(settings))
        client += vector * (1 + begins)
        parts.append("2 P float32 of momentum" if begins else "P float32 of momentum")
    if (home := spec.home) is not None:
        client += 4 * home.num_parameters + 4 * home.num_float_buffers + 8 * home.num_integer_buffers
        parts.append("what stays at home")
    models, named_models = (1, " + one download") if topology is None else (0, "")
    if method.rule.relays == "to_all":
        models, named_models = 4, " + the shared model four times (before, now, next, in a checkpoint)"
    kept, often = _kept_states(settings, spec, method, topology)
    states, twice = int(held.clients * client * kept), ""
    if settings.runtime.checkpoint_interval != 0 and keeps:
        # What a checkpoint holds lies there until it is written, and clients that train meanwhile have another state.
        states, twice = 2 * states, ", twice while a checkpoint is written"
    size = states + held.payloads + models * model + held.data
    named = f"clients x ({' + '.join(parts)}){often}{twice} + " if keeps else ""
    formula = f"{named}one round's payloads{named_models} + data set"
    return Memory("object store", size, formula)


def _keeps_start_alone(settings: Settings) -> bool:
    """Whether the model that a client keeps is the one that its training began from."""
    return not (settings.chunking.chunking or settings.federation.evaluate_clients)


def _kept_states(settings: Settings, spec: ModelSpec, method: Method, topology: Topology | None) -> tuple[float, str]:
    """How many states lie there for each client: those of a group stay until the last of it has trained again."""
    federation = settings.federation
    group = _largest_group(settings, spec)
    if federation.client_sampling_rate == 1 or group == 1:
        return 1.0, ""
    kept = sum(1 / number for number in range(1, group + 1))
    sooner = ", or all chunks were replaced" if topology is None and forgets_states(settings, method) else ""
    return kept, f" x {kept:.1f} (groups of {group} stay until all have trained again{sooner})"


def _largest_group(settings: Settings, spec: ModelSpec) -> int:
    federation = settings.federation
    cohort = round_rules.cohort(federation.number_of_clients, federation.client_sampling_rate, 0, 1)
    return max(map(len, grouping.groups(cohort, federation, spec.num_parameters)))


def _coordinator(settings: Settings, spec: ModelSpec, method: Method, topology: Topology | None, model: int) -> Memory:
    if topology is not None:
        return Memory("coordinator", model, "the first model; it owns no other")
    size, formula = 12 * spec.num_parameters + 2 * model, "float64 sums and quotients of P values + the model twice"
    if method.rule.keeps_residual:
        size += 16 * spec.num_parameters
        formula += " + 4 vectors of P float32 (what it has not told yet, and what it told)"
    if forgets_states(settings, method):
        size += 4 * settings.federation.number_of_clients * method.layout.num_chunks
        formula += " + 4 bytes for each client and chunk (when it was sent)"
    return Memory("coordinator", size, formula)


def _actor(settings: Settings, spec: ModelSpec, method: Method, topology: Topology | None) -> Memory:
    vectors, parts = 5 + _optimizer_vectors(settings.training), ["weights", "gradients", "copies", "optimizer"]
    if method.withholds or method.rule.keeps_copies:
        vectors += 2
        parts.append("withheld change before and after")
    if settings.training.carries_momentum:
        vectors += 1
        parts.append("momentum")
    if topology is not None and method.rule.keeps_copies:
        vectors += 4
        parts.append("sums of what was heard, before and after, and float64 of their change")
    if method.rule.relays == "to_all":
        vectors += 6
        parts.append("float64 sums of a round, their quotients and the shared model before and after")
    group = _largest_group(settings, spec)
    if group > 1:
        vectors += 4 * group
        parts.append(f"weights, gradients and states of a group of {group}")
    values = spec.num_parameters + (spec.home.num_parameters if spec.home else 0)
    size = ACTOR_BASE_BYTES + 4 * values * vectors + 4 * spec.num_frozen
    frozen = " + frozen values" if spec.num_frozen else ""
    formula = f"0.6 GB + {vectors} vectors of P float32 ({', '.join(parts)}){frozen}; activations come on top"
    return Memory("each actor", size, formula)


def _optimizer_vectors(training: TrainingSettings) -> int:
    return OPTIMIZER_VECTORS[training.optimizer] + (1 if training.momentum else 0)
