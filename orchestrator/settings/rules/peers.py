"""Rules of the topology: star or peer to peer, and what only one of the two has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from fedchunk.orchestrator.registry import KINDS, builtin_names, constants
from fedchunk.orchestrator.settings.rules.remark import Idle, Remark

if TYPE_CHECKING:
    from fedchunk.orchestrator.settings.joined import Sections
    from fedchunk.orchestrator.settings.sections import FederationSettings

PEER_TOPOLOGIES = "ring, k_connected, complete or custom"


def relays(settings: Sections) -> str | None:
    """How the built-in exchange rule in force hands messages on beyond neighbours; None where it does not."""
    if not settings.chunking.chunking:
        return None
    how: str | None = settings.constants("exchange_rule").get("RELAYS")
    return how


def contradictions(settings: Sections) -> Iterator[Remark]:
    """What cannot be meant, or cannot be run."""
    federation, chunking = settings.federation, settings.chunking
    yield from _schema_contradictions(federation)
    yield from topology_contradictions(federation)
    if chunking.chunking:
        yield from _rule_contradictions(settings)
    yield from _average_contradictions(settings)
    if not federation.peer_to_peer:
        return
    if federation.client_sampling_rate < 1:
        yield Remark(
            ("client_sampling_rate", "federated_learning_schema"),
            f"got {federation.client_sampling_rate:g} peer to peer, where nobody draws a cohort and neighbours wait "
            "for each other; allowed here: 1",
        )
    yield from _transport_contradictions(settings)
    if chunking.chunking:
        yield from _chunks_without_coordinator(settings)
    if relays(settings) == "to_root" and federation.server_optimizer != "none":
        yield Remark(
            ("server_optimizer", "chunk_reconstruction"),
            f"got {federation.server_optimizer} with {chunking.chunk_reconstruction}, where another peer may become "
            "the root and gets what is withheld, but no moments; allowed here: none",
        )


def _schema_contradictions(federation: FederationSettings) -> Iterator[Remark]:
    keys = ("federated_learning_topology", "federated_learning_schema")
    topology = federation.federated_learning_topology
    if not federation.peer_to_peer and topology != "star":
        yield Remark(
            keys,
            f"got {topology}, but TraditionalFederatedLearning has a coordinator; set it to star, or "
            "federated_learning_schema to DecentralizedFederatedLearning",
        )
    if federation.peer_to_peer and topology == "star":
        yield Remark(
            keys,
            f"got star, but DecentralizedFederatedLearning has no coordinator; set it to {PEER_TOPOLOGIES}, or "
            "federated_learning_schema to TraditionalFederatedLearning",
        )


def _average_contradictions(settings: Sections) -> Iterator[Remark]:
    federation = settings.federation
    if not federation.final_average:
        return
    if federation.peer_to_peer and relays(settings):
        yield Remark(
            ("final_average", "chunk_reconstruction"),
            f"got true with {settings.chunking.chunk_reconstruction}, where peers share one model and there is nothing "
            "to average; remove it",
        )
    if not federation.peer_to_peer:
        yield Remark(
            ("final_average", "federated_learning_schema"),
            "got true in a star, where all share one model; remove it, or set federated_learning_schema to "
            "DecentralizedFederatedLearning",
        )
    for key in ("stop_avg_accuracy", "stop_target", "patience"):
        if (value := getattr(federation, key)) is not None:
            yield Remark(
                ("final_average", key),
                f"got true together with {key}: {value:g}; it comes after the last of federated_learning_rounds, which "
                "a run that stops early never gets to; remove one of them",
            )


def _rule_contradictions(settings: Sections) -> Iterator[Remark]:
    """Exchange rules that need a coordinator, or neighbours, where there are none."""
    here = "peers" if settings.federation.peer_to_peer else "star"
    kind, rule = KINDS["exchange_rule"], settings.chunking.chunk_reconstruction
    if here not in settings.constants("exchange_rule").get("WHERE", (here,)):
        others = [name for name in builtin_names(kind) if here in constants(kind, name).get("WHERE", (here,))]
        place = (
            "peer to peer, where there is no coordinator"
            if here == "peers"
            else "in a star, where clients have no neighbours"
        )
        yield Remark(
            ("chunk_reconstruction", "federated_learning_schema"),
            f"got {rule} {place}; allowed here: {', '.join(others)}",
        )


def _chunks_without_coordinator(settings: Sections) -> Iterator[Remark]:
    chunking = settings.chunking
    if chunking.chunk_agreement == "consensus":
        yield Remark(
            ("chunk_agreement", "federated_learning_schema"),
            "got consensus peer to peer, where no coordinator picks the set; allowed here: independent",
        )
    if chunking.policy == "budget" or chunking.sensitivity_budget_mb is not None:
        key = "sensitivity_policy" if chunking.policy == "budget" else "sensitivity_budget_mb"
        got = "budget" if chunking.policy == "budget" else f"{chunking.sensitivity_budget_mb:g}"
        yield Remark(
            (key, "federated_learning_schema"),
            f"got {got} peer to peer, where no coordinator counts what all clients have sent; remove it",
        )


def _transport_contradictions(settings: Sections) -> Iterator[Remark]:
    if settings.runtime.transport == "tcp":
        yield Remark(
            ("transport", "federated_learning_schema"),
            "got tcp peer to peer; the sockets that prove the ledger join clients and coordinator: allowed here: "
            "object_store",
        )


def topology_contradictions(federation: FederationSettings) -> Iterator[Remark]:
    """Graphs that do not exist, as far as numbers can tell."""
    topology, clients = federation.federated_learning_topology, federation.number_of_clients
    if topology != "star" and clients < 2:
        yield Remark(
            ("number_of_clients", "federated_learning_topology"),
            f"got {clients} with topology {topology}, where each client needs a neighbour; allowed here: 2 or more",
        )
        return
    if topology == "k_connected":
        yield from _degree_contradictions(clients, federation.k_value)
    if topology == "custom" and federation.adjacency_matrix_file_name is None:
        yield Remark(
            ("adjacency_matrix_file_name", "federated_learning_topology"),
            "is missing; topology custom needs a CSV file of 0 and 1, one row and one column for each client",
        )


def _degree_contradictions(clients: int, degree: int | None) -> Iterator[Remark]:
    keys = ("k_value", "federated_learning_topology", "number_of_clients")
    if degree is None:
        yield Remark(keys, f"is missing; topology k_connected needs the number of neighbours, {_degrees(clients)}")
    elif degree >= clients:
        reason = f"a client has at most {clients - 1} neighbours"
        yield Remark(keys, f"got {degree} for number_of_clients {clients}: {reason}; {_nearest(clients, degree)}")
    elif degree == 1 and clients > 2:
        reason = "pairs would never hear of each other"
        yield Remark(keys, f"got 1 for number_of_clients {clients}: {reason}; {_nearest(clients, degree)}")
    elif degree * clients % 2:
        reason = "each link has two ends, so their product must be even"
        yield Remark(keys, f"got {degree} for number_of_clients {clients}: {reason}; {_nearest(clients, degree)}")


def _degrees(clients: int) -> str:
    parity = "an even number " if clients % 2 else ""
    return f"{parity}from {min(2, clients - 1)} to {clients - 1}"


def _nearest(clients: int, degree: int) -> str:
    """The nearest numbers of neighbours with which a connected graph exists."""
    step = 2 if clients % 2 else 1
    candidates = range(min(2, clients - 1), clients, step)
    closest = min(abs(candidate - degree) for candidate in candidates)
    nearest = [str(candidate) for candidate in candidates if abs(candidate - degree) == closest]
    return f"nearest allowed: {' or '.join(nearest)}"


def idle(settings: Sections) -> Iterator[Idle]:
    """Settings that nothing reads as things are, with the reason."""
    federation = settings.federation
    topology = federation.federated_learning_topology
    for key in settings.unread("topology"):
        yield (key,), f"federated_learning_topology is {topology}"
    if not federation.final_average:
        yield ("final_average_encoding",), "final_average is false"
    if federation.peer_to_peer and relays(settings) != "to_root":
        yield ("clients_per_call",), "each group of peers has a call of its own"
        server = (
            "server_learning_rate",
            "server_learning_rate_schedule",
            "server_optimizer",
            "server_optimizer_options",
        )
        yield server, "peer to peer, there is no coordinator's model"
        if relays(settings) == "to_all":
            yield ("evaluate_clients",), "the model that is measured is that of all peers"
        else:
            yield ("evaluate_clients",), "peer to peer, the clients' models are always measured"
        if settings.chunking.chunking and "stale_copy_step" in settings.signature("exchange_rule").names:
            yield ("aggregation_sample_scaling",), "the weights of stale_copies come from the topology"
