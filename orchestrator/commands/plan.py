"""What an experiment will cost, before it is spent: bytes, memory, actors. Starts nothing, and loads no data but a
user's.

Bytes are counted with the encoder's own sizes and the coordinator's own rule for what a client must be sent, so they
are bounds that a run keeps, not estimates. Memory is an estimate; each line says its formula.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from fedchunk.orchestrator.chunking.header import SETUP_SIZE
from fedchunk.orchestrator.commands.plan_memory import Held, Memory, memory_lines
from fedchunk.orchestrator.commands.plan_messages import Bounds, Messages
from fedchunk.orchestrator.commands.plan_notes import notes
from fedchunk.orchestrator.commands.plan_peers import final_average, peer_traffic
from fedchunk.orchestrator.commands.plan_star import Downloads, Hops, star_traffic
from fedchunk.orchestrator.commands.plan_time import Clock, PlannedPrice, PlannedTime, Rates
from fedchunk.orchestrator.contract.messages import ModelSpec
from fedchunk.orchestrator.core.round_rules import cohort_size
from fedchunk.orchestrator.learning.data.facts import DataFacts, data_facts
from fedchunk.orchestrator.methods.topology import build_topology
from fedchunk.orchestrator.settings.whole import Settings


@dataclass(frozen=True)
class Plan:
    """The cost of one experiment."""

    model: str
    parameters: int
    chunks: int
    shortest_chunk: int
    """Values of it; all have as many, or one more, but for ``chunk_layout: tensors``."""
    longest_chunk: int
    chunks_sent: Bounds
    """By one client in one round."""
    encoding: str
    """How values travel, with the compression if there is one."""
    topology: str
    edges: int | None
    """Links between peers, each used in both directions; None in a star."""
    hops: Hops | None
    """How often messages cross them in a round; None in a star."""
    clients: int
    clients_per_round: int
    rounds: int
    upload: Bounds
    """All that one client sends in one round; peer to peer: one message over one edge. What a first message has more is
    in the upper bound."""
    download: Bounds
    """All that one client is sent in one round, once it has the model; peer to peer as ``upload``."""
    first_download: int
    """The whole model, to a client that has none yet; 0 where clients make it themselves."""
    score_message: int
    """What a client sends to agree, in the rounds that ask for it; 0 if none does."""
    dense_message: int
    """Every message of full exchange but the first ones."""
    final_average: int
    """What the average after the last round takes, one way: it is in ``uplink`` and ``downlink``."""
    uplink: Bounds
    downlink: Bounds
    dense: int
    """One direction of the whole run by full exchange."""
    downloads: Downloads | None
    """Messages of the coordinator by kind; None peer to peer."""
    actors: int | None
    memory: tuple[Memory, ...]
    notes: tuple[str, ...]
    """What the bounds mean here, in words."""
    time: PlannedTime | None = None
    """None where no links were given."""
    price: PlannedPrice | None = None
    """None where no price was given."""

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``: exact bytes."""
        return asdict(self)


def make_plan(
    settings: Settings,
    spec: ModelSpec,
    facts: DataFacts | None = None,
    *,
    actors: int | None,
    rates: Rates = Rates(),  # noqa: B008 - it is frozen
) -> Plan:
    """The cost of an experiment with a model of this shape.

    Args:
        settings: the experiment.
        spec: names and sizes of the model's parameters and buffers.
        facts: of the data set; None: they are looked up.
        actors: client actors that this machine would start, or None where it cannot run the experiment.
        rates: what time and money are counted with.

    Raises:
        ConfigError: more chunks than parameters, a topology that does not exist, or a budget that cannot be kept to.
    """
    federation = settings.federation
    messages = Messages.of(settings, spec)
    layout = messages.layout
    topology, num_rounds = build_topology(settings), federation.federated_learning_rounds
    clock = None
    if rates.links is not None:
        clock = Clock(rates.links.of(federation.number_of_clients), rates.train_seconds, messages.dense)
    if topology is None:
        traffic = star_traffic(federation, messages, clock.star if clock else None)
    else:
        traffic = peer_traffic(federation, messages, topology, clock.peers if clock else None)
    downloads = topology is None or messages.method.rule.relays == "to_root"
    first = messages.whole(None).high + SETUP_SIZE if downloads and not federation.clients_have_first_model else 0
    per_round = cohort_size(federation.number_of_clients, federation.client_sampling_rate)
    held = Held(traffic.participants, traffic.upload.high * per_round, (facts or data_facts(settings)).num_bytes)
    encoding = settings.chunking.chunk_encoding if settings.chunking.chunking else "float32"
    compression = messages.method.packing.compression
    dense = messages.dense * num_rounds * (2 * topology.edges if topology else per_round)
    dense += SETUP_SIZE * (2 * topology.edges if topology else traffic.participants)
    carried, dense_carried = (traffic.uplink, dense) if topology else (traffic.uplink + traffic.downlink, 2 * dense)
    return Plan(
        model=settings.training.model_type,
        parameters=spec.num_parameters,
        chunks=layout.num_chunks,
        shortest_chunk=layout.shortest,
        longest_chunk=layout.longest,
        chunks_sent=traffic.chunks_sent,
        encoding=encoding if compression == "none" else f"{encoding}, {compression}",
        topology=federation.federated_learning_topology,
        edges=topology.edges if topology else None,
        hops=traffic.hops,
        clients=federation.number_of_clients,
        clients_per_round=per_round,
        rounds=num_rounds,
        upload=traffic.upload,
        download=traffic.download,
        first_download=first,
        score_message=messages.scores,
        dense_message=messages.dense,
        final_average=final_average(messages, topology).bytes,
        uplink=traffic.uplink,
        downlink=traffic.downlink,
        dense=dense,
        downloads=traffic.downloads,
        actors=actors,
        memory=memory_lines(settings, spec, messages.method, topology, held),
        notes=tuple(notes(settings, messages)),
        time=clock.planned(rates.links.name, rates.train_seconds) if rates.links and clock else None,
        price=None if rates.price_per_gb is None else PlannedPrice.of(rates.price_per_gb, carried, dense_carried),
    )
