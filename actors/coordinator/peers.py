"""The rounds of a federation without a coordinator's model: who trains, who hears whom, what it cost.

Payloads go from peer to peer behind handles; nobody is handed one of a client that is not its neighbour.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fedchunk.actors.coordinator.calls import Settled, repeats_of_groups, run_calls_in_order, same_call
from fedchunk.actors.coordinator.dispatch import clients_in_words
from fedchunk.actors.coordinator.evaluation import Evaluated
from fedchunk.actors.coordinator.final_average import FinalAverage
from fedchunk.actors.coordinator.ledger import Ledger
from fedchunk.actors.coordinator.round_tables import PlayedRound, RoundFacts, busy_share
from fedchunk.orchestrator.contract.evaluation import EvaluationSums
from fedchunk.orchestrator.contract.messages import InitialModel, ModelState, Span
from fedchunk.orchestrator.contract.peer_messages import (
    MixOrder,
    MixPeersOrder,
    MixPeersReport,
    MixReport,
    PeerObjects,
    PeersOrder,
    PeersReport,
    TrainOrder,
)
from fedchunk.orchestrator.contract.ports import Call, ClientGroup, Handle
from fedchunk.orchestrator.contract.reports import ClientReport
from fedchunk.orchestrator.core import round_rules
from fedchunk.orchestrator.core.errors import RoundFailed
from fedchunk.orchestrator.learning.measures import Measures
from fedchunk.orchestrator.methods import grouping
from fedchunk.orchestrator.methods.grouping import Group
from fedchunk.orchestrator.methods.method import dense_bytes_of_peers, layout_for, rule_of
from fedchunk.orchestrator.methods.topology import Topology, metropolis_weights
from fedchunk.orchestrator.settings.whole import Settings

Progress = Callable[[int, int], None]


@dataclass
class _Round:
    round_index: int
    ledger: Ledger
    newcomers: frozenset[int]
    """Peers that have never sent anything before."""
    payloads: dict[int, Handle] = field(default_factory=dict)
    sizes: dict[int, Mapping[str, int]] = field(default_factory=dict)
    reports: dict[int, ClientReport] = field(default_factory=dict)
    attempts: dict[int, int] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)
    rejected: dict[int, str] = field(default_factory=dict)
    scores: dict[int, EvaluationSums] = field(default_factory=dict)
    own: dict[int, EvaluationSums] = field(default_factory=dict)
    spans: list[Span] = field(default_factory=list)


class PeerCoordinator:
    """Runs rounds of peers over a group of client actors. Owns no model: only handles, and the graph."""

    def __init__(
        self,
        settings: Settings,
        group: ClientGroup,
        initial: InitialModel,
        samples_per_client: tuple[int, ...],
        topology: Topology,
    ) -> None:
        self._settings = settings
        self._group = group
        self._initial = initial
        self._samples = samples_per_client
        self._topology = topology
        self._weights = metropolis_weights(topology)
        self._layout = layout_for(settings.chunking, initial.spec)
        self._rule = rule_of(settings)
        self._states: list[Handle | None] = [None] * topology.num_clients
        self._newcomers = frozenset(range(topology.num_clients))
        """Peers that have never sent anything; one that has only heard others has a state all the same."""
        self._measures = Measures(settings)
        wanted, attempts = settings.federation.final_average, settings.runtime.max_attempts
        personal = initial.spec.home is not None
        self._average = FinalAverage(group, topology, attempts, personal=personal) if wanted else None
        self._group_in_use = threading.Lock()

    @property
    def model(self) -> ModelState:
        """The mean of the peers' models; the initial model before the first round. Waits for a round in progress."""
        with self._group_in_use:
            return self._mean_model()

    def model_now(self) -> Callable[[], ModelState]:
        """Gives the mean as it is when it is asked for: that of earlier models would keep all of them."""
        return lambda: self.model

    def _mean_model(self) -> ModelState:
        states = [state for state in self._states if state is not None]
        if not states:
            return self._initial.state
        (settled,) = run_calls_in_order(
            self._group, [Call(0, "mean_and_consensus", tuple(states), 2)], self._max_attempts
        )
        if settled.answer is None:
            raise RoundFailed(0, 0, 1, {0: settled.reason})
        model: ModelState = settled.answer.values[1]
        return model

    def saved(self) -> tuple[dict[str, Any], list[Handle]]:
        """All that later rounds need, between two rounds: values, and the objects with peers' states."""
        objects = [state for state in self._states if state is not None]
        known = iter(range(len(objects)))
        at = [-1 if state is None else next(known) for state in self._states]
        return {"places_N": np.array(at, np.int32), "newcomers_S": np.array(sorted(self._newcomers), np.int32)}, objects

    def restore(self, saved: Mapping[str, Any], objects: Sequence[Handle]) -> None:
        """What :meth:`saved` gave, of a coordinator of the same settings."""
        self._group.abandon()
        self._states = [None if at < 0 else objects[at] for at in saved["places_N"].tolist()]
        self._newcomers = frozenset(saved["newcomers_S"].tolist())

    def play(self, round_index: int, progress: Progress) -> PlayedRound:
        """One round, from 1: all train, then all mix. Raises RoundFailed when too few peers finish."""
        with self._group_in_use:
            return self._play(round_index, progress)

    def _play(self, round_index: int, progress: Progress) -> PlayedRound:
        started = time.perf_counter()
        settings = self._settings.federation
        this = _Round(round_index, Ledger(round_index), self._newcomers)
        self._train(this, progress)
        needed = round_rules.needed(len(self._samples), settings.min_completion_rate)
        if len(this.payloads) < needed:
            raise RoundFailed(round_index, len(this.payloads), needed, this.failed)
        evaluated = round_rules.is_evaluated(
            round_index, settings.evaluation_interval, settings.federated_learning_rounds
        )
        mixing = time.perf_counter()
        ends = self._average is not None and round_index == settings.federated_learning_rounds
        mixed_peers = self._mix(this, evaluated and not ends)
        if mixed_peers < needed:
            raise RoundFailed(round_index, mixed_peers, needed, this.failed)
        if ends:
            self._average_models(this)
        mixed = time.perf_counter()
        distance = self._consensus_distance() if evaluated else None
        finished = time.perf_counter()
        facts = RoundFacts(
            round_index=round_index,
            num_chunks=self._layout.num_chunks,
            samples=dict(enumerate(self._samples)),
            reports=this.reports,
            attempts=this.attempts,
            failed=this.failed,
            rejected=this.rejected,
            evaluated=Evaluated(None, this.scores, this.own),
            metrics={},
            client_metrics=self._measures.of_clients(this.scores),
            own_metrics=self._measures.of_clients(this.own, where_known=True),
            target=self._settings.target,
            consensus_distance=distance,
            dense_bytes_each_way=dense_bytes_of_peers(self._initial.spec, self._topology, this.newcomers),
            record_chunks=self._settings.tracking.record_chunks,
            aggregate_s=mixed - mixing,
            evaluate_s=finished - mixed,
            busy=busy_share(this.spans, finished - started, self._group.size),
            wall_s=finished - started,
        )
        return PlayedRound(facts, this.ledger, tuple(this.spans), self._settings.runtime.profile)

    @property
    def _max_attempts(self) -> int:
        return self._settings.runtime.max_attempts

    def _groups(self, clients: Sequence[int]) -> list[Group]:
        """Which peers share a call, and are trained at once."""
        return [*grouping.groups(clients, self._settings.federation, self._initial.spec.num_parameters)]

    def _train(self, this: _Round, progress: Progress) -> None:
        groups = self._groups(range(len(self._samples)))

        def note(done: int) -> None:
            progress(done, len(self._samples))

        def call(key: int, clients: Group) -> Call:
            return self._train_call(this, key, clients)

        calls, repeated = [call(*group) for group in enumerate(groups)], repeats_of_groups(groups, call)
        for settled in run_calls_in_order(self._group, calls, self._max_attempts, repeated.again, note, repeated.split):
            clients = groups[settled.key]
            this.failed.update(settled.lost)
            this.attempts.update(dict.fromkeys((*settled.lost, *clients), settled.attempts))
            if settled.answer is None:
                this.failed.update(dict.fromkeys(clients, settled.reason))
                continue
            answer: PeersReport = settled.answer.values[0]
            this.spans.extend(answer.spans)
            this.failed.update(answer.failed)
            this.sizes.update(answer.sizes)
            if answer.reports:
                this.reports.update((report.client_id, report) for report in answer.reports.rows())
            payloads, states = settled.answer.handles[: len(clients)], settled.answer.handles[len(clients) :]
            for client, payload, state in zip(clients, payloads, states, strict=True):
                if client not in answer.failed:
                    this.payloads[client], self._states[client] = payload, state
        self._newcomers = this.newcomers.difference(this.payloads)

    def _train_call(self, this: _Round, key: int, clients: Group) -> Call:
        peers = tuple(TrainOrder(this.round_index, client, stands=client not in this.newcomers) for client in clients)
        order = PeersOrder(peers, tuple(len(self._topology.neighbours[client]) for client in clients))
        arguments = order, *(self._states[client] for client in clients)
        work, whose = sum(self._samples[client] for client in clients), clients_in_words(clients)
        return Call(key, "train_peers", arguments, 1, 2 * len(clients), len(clients), work, whose)

    def _mix(self, this: _Round, evaluated: bool) -> int:
        """Hands each peer its neighbours' payloads, billed edge by edge, and keeps what it becomes; how many did."""
        done, deaf = 0, dict[int, str]()
        adds_up = self._rule.keeps_copies  # then also those must hear the others that have nothing to say themselves
        clients = list(range(len(self._samples))) if adds_up else list(this.payloads)
        orders = {client: self._mix_order(this, client, evaluated) for client in clients}
        for client, order in orders.items():
            for sender in order.senders:
                if sender != client:
                    this.ledger.bill(sender, client, this.sizes[sender])
        for some, settled in self._mixed(this, orders, self._groups(clients)):
            deaf.update(settled.lost)
            if settled.answer is None:
                deaf.update(dict.fromkeys(some, settled.reason))
                continue
            report: MixPeersReport = settled.answer.values[0]
            deaf.update(report.failed)
            this.spans.extend(report.spans)
            for client, state in zip(some, settled.answer.handles, strict=True):
                if client in report.reports:
                    self._take_mixed(this, client, report.reports[client], state)
                    done += client in this.payloads
        this.failed.update(deaf)
        if adds_up and deaf:  # what it did not hear would be missing for good; from a checkpoint it hears it again
            raise RoundFailed(this.round_index, len(clients) - len(deaf), len(clients), deaf)
        return done

    def _mixed(
        self, this: _Round, orders: Mapping[int, MixOrder], groups: Sequence[Group]
    ) -> Iterator[tuple[Group, Settled]]:
        """Peers and what came of their call. Of a call for several that failed each is asked by itself: only one may be
        to blame, or lack what is gone with a node."""
        groups = list(groups)

        def call(key: int, clients: Group) -> Call:
            return self._mix_call(this, key, [orders[client] for client in clients])

        calls, repeated = [call(*group) for group in enumerate(groups)], repeats_of_groups(groups, call)
        again = repeated.again if self._rule.keeps_copies else same_call
        alone: list[Group] = []
        for settled in run_calls_in_order(self._group, calls, self._max_attempts, again, split=repeated.split):
            some = groups[settled.key]
            if settled.answer is None and len(some) > 1:
                alone.extend((client,) for client in some)
                some = ()
            yield some, settled
        if alone:
            yield from self._mixed(this, orders, alone)

    def _take_mixed(self, this: _Round, client: int, report: MixReport, state: Handle) -> None:
        this.rejected.update(report.refused)
        if report.measured is not None:
            this.scores[client] = report.measured.whole
            if report.measured.own is not None:
                this.own[client] = report.measured.own
        self._states[client] = state

    def _average_models(self, this: _Round) -> None:
        """All peers get the mean of their models, on this round's bill, and are measured with it."""
        assert self._average is not None
        averaged = self._average.run(this.round_index, self._states, self._newcomers, this.ledger)
        self._states = list(averaged.states)
        this.scores, this.own = averaged.whole, averaged.own
        this.spans.extend(averaged.spans)

    def _mix_order(self, this: _Round, client: int, evaluated: bool) -> MixOrder:
        neighbours = self._topology.neighbours[client]
        senders = tuple(sorted(peer for peer in (client, *neighbours) if peer in this.payloads))
        train, new = TrainOrder(this.round_index, client), tuple(one for one in senders if one in this.newcomers)
        return MixOrder(train, senders, neighbours, self._weights[client], evaluated, new)

    def _mix_call(self, this: _Round, key: int, orders: Sequence[MixOrder]) -> Call:
        """A call for some peers: what several of them are handed goes with it once."""
        clients = [order.train.client_id for order in orders]
        senders = sorted({sender for order in orders for sender in order.senders})
        states = [client for client in clients if self._states[client] is not None]
        at_state = {client: place for place, client in enumerate(states)}
        at_payload = {sender: place for place, sender in enumerate(senders, len(states))}
        places = (
            PeerObjects(at_state.get(client), tuple(at_payload[sender] for sender in order.senders))
            for client, order in zip(clients, orders, strict=True)
        )
        objects = *(self._states[client] for client in states), *(this.payloads[sender] for sender in senders)
        order = MixPeersOrder(tuple(orders), tuple(places))
        number, whose = len(clients), clients_in_words(clients)
        return Call(key, "mix_peers", (order, *objects), 1, number, number, number, whose)

    def _consensus_distance(self) -> float | None:
        """Worked out by an actor: the models stay where they are."""
        states = tuple(state for state in self._states if state is not None)
        (settled,) = run_calls_in_order(self._group, [Call(0, "mean_and_consensus", states, 1, 1)], self._max_attempts)
        return None if settled.answer is None else float(settled.answer.values[0])
