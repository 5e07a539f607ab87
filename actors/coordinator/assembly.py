"""What both backends do alike once client actors stand: the first model, the coordinator, the description."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, assert_never

import pyarrow as pa

from fedchunk.actors.coordinator.calls import run_calls
from fedchunk.actors.coordinator.star import Coordinator
from fedchunk.orchestrator.chunking.layout import Layout
from fedchunk.orchestrator.contract.messages import InitialModel, ModelSpec
from fedchunk.orchestrator.contract.named_tensors import Tensors
from fedchunk.orchestrator.contract.ports import Call, ClientGroup, DataDescription, FederationInfo
from fedchunk.orchestrator.core.errors import ActorsUnavailable
from fedchunk.orchestrator.core.records import table_from_rows
from fedchunk.orchestrator.methods.method import layout_for, rule_of
from fedchunk.orchestrator.settings.whole import Settings

if TYPE_CHECKING:
    from fedchunk.actors.coordinator.peers import PeerCoordinator
    from fedchunk.actors.coordinator.relay import RelayCoordinator
    from fedchunk.actors.coordinator.relay_tree import RelayTreeCoordinator

    AnyCoordinator = Coordinator | PeerCoordinator | RelayCoordinator | RelayTreeCoordinator


@dataclass(frozen=True)
class Beginning:
    """What the driver is told of the model that everybody starts from."""

    spec: ModelSpec
    frozen: Tensors
    """Parameters that are not trained, by name."""


def build_coordinator(
    settings: Settings, group: ClientGroup, samples_per_client: tuple[int, ...], test_parts: tuple[slice, ...]
) -> tuple[AnyCoordinator, Beginning]:
    """A coordinator over ``group``, of a star or of peers, with the initial model that the first free actor gives.

    Raises ConfigError when the model has fewer parameters than ``chunking_parts``.
    """
    call = Call(0, "initial_model", ())
    (settled,) = run_calls(group, [call], settings.runtime.max_attempts)
    if settled.answer is None:
        raise ActorsUnavailable(f"no initial model: {settled.reason}")
    given: InitialModel = settled.answer.values[0]
    beginning, initial = Beginning(given.spec, given.frozen), replace(given, frozen={})  # the driver alone records them
    if not settings.federation.peer_to_peer:
        return Coordinator(settings, group, initial, samples_per_client, test_parts), beginning
    return _peers(settings, group, initial, samples_per_client, test_parts), beginning


def _peers(
    settings: Settings,
    group: ClientGroup,
    initial: InitialModel,
    samples_per_client: tuple[int, ...],
    test_parts: tuple[slice, ...],
) -> AnyCoordinator:
    """Of peers, as the exchange rule says. Imported here, with networkx, which a star can do without."""
    from fedchunk.orchestrator.methods.topology import build_topology

    topology = build_topology(settings)
    assert topology is not None
    match rule_of(settings).relays:
        case None:
            from fedchunk.actors.coordinator.peers import PeerCoordinator

            return PeerCoordinator(settings, group, initial, samples_per_client, topology)
        case "to_all":
            from fedchunk.actors.coordinator.relay import RelayCoordinator

            return RelayCoordinator(settings, group, initial, samples_per_client, topology, test_parts)
        case "to_root":
            from fedchunk.actors.coordinator.relay_tree import RelayTreeCoordinator

            return RelayTreeCoordinator(settings, group, initial, samples_per_client, topology, test_parts)
        case other:
            assert_never(other)


def describe(
    settings: Settings,
    beginning: Beginning,
    data: DataDescription,
    samples_per_client: tuple[int, ...],
    *,
    backend: str,
    device: str,
    number_of_actors: int,
) -> FederationInfo:
    """What is known before the first round."""
    spec = beginning.spec
    layout = layout_table(layout_for(settings.chunking, spec), spec)
    return FederationInfo(spec, layout, data, samples_per_client, backend, device, number_of_actors, beginning.frozen)


def layout_table(layout: Layout, spec: ModelSpec) -> pa.Table:
    """The ``layout`` table: each chunk with the parameters that its range covers."""
    rows = []
    parameters = list(spec.parameters)
    first = 0
    for chunk in range(layout.num_chunks):
        start, stop = int(layout.bounds[chunk]), int(layout.bounds[chunk + 1])
        while parameters[first].stop <= start:
            first += 1
        last = first
        while last + 1 < len(parameters) and parameters[last + 1].start < stop:
            last += 1
        names = [parameter.name for parameter in parameters[first : last + 1]]
        rows.append({"chunk": chunk, "start": start, "stop": stop, "parameters": names})
    return table_from_rows("layout", rows)
