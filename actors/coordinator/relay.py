"""The rounds of peers that hand every message on to all: one model that all share, and what each withholds.

Handles only: messages and models go from actor to actor. What all peers would work out alike, one actor works out once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from fedchunk.actors.coordinator import places
from fedchunk.actors.coordinator.calls import repeats_of_groups, run_calls_in_order
from fedchunk.actors.coordinator.dispatch import clients_in_words
from fedchunk.actors.coordinator.evaluation import Evaluated, evaluate_model, evaluate_own, evaluate_peers
from fedchunk.actors.coordinator.hops import bill_hops
from fedchunk.actors.coordinator.ledger import Ledger
from fedchunk.actors.coordinator.places import Placed, arguments, nearest, rows_of
from fedchunk.actors.coordinator.relay_state import Missed, RelayRound, SharedModel
from fedchunk.actors.coordinator.round_tables import PlayedRound, RoundFacts, busy_share
from fedchunk.orchestrator.chunking.header import Expected, Origin
from fedchunk.orchestrator.contract.evaluation import EvaluationSums
from fedchunk.orchestrator.contract.messages import GroupAnswer, InitialModel, ModelState
from fedchunk.orchestrator.contract.peer_messages import RelayOrder, RelaySum, TrainOrder
from fedchunk.orchestrator.contract.ports import Call, ClientGroup, Handle, Lost
from fedchunk.orchestrator.core import round_rules
from fedchunk.orchestrator.core.errors import PeersApart, RoundFailed, StatesLost
from fedchunk.orchestrator.learning.measures import Measures
from fedchunk.orchestrator.methods import grouping, relaying
from fedchunk.orchestrator.methods.grouping import Group
from fedchunk.orchestrator.methods.method import dense_bytes_of_peers, layout_for
from fedchunk.orchestrator.methods.topology import Topology
from fedchunk.orchestrator.settings.whole import Settings

Progress = Callable[[int, int], None]


class RelayCoordinator:
    """Runs rounds of peers over a group of client actors. Owns no model: only handles, and the graph."""

    def __init__(
        self,
        settings: Settings,
        group: ClientGroup,
        initial: InitialModel,
        samples_per_client: tuple[int, ...],
        topology: Topology,
        test_parts: tuple[slice, ...],
    ) -> None:
        self._settings = settings
        self._group = group
        self._initial = initial
        self._samples = samples_per_client
        self._topology = topology
        self._test_parts = test_parts
        self._layout = layout_for(settings.chunking, initial.spec)
        self._shared = SharedModel(0, None, np.zeros(self._layout.num_chunks, np.int32))
        self._models: dict[int, Handle | None] = {0: None}
        """The models that somebody knows, by their round."""
        self._known = [0] * topology.num_clients
        """The round of the shared model that each peer knows."""
        self._states: list[Placed | None] = [None] * topology.num_clients
        self._counted = [0] * topology.num_clients
        """The round that each state is of: the last in which the peer's message counted."""
        self._everybody = range(topology.num_clients)
        self._trees = frozenset(self._everybody), relaying.all_trees(topology, self._everybody)
        self._measures = Measures(settings)
        self._group_in_use = threading.Lock()

    @property
    def model(self) -> ModelState:
        """The shared model; the initial model before the first round. Waits for a round in progress."""
        return self._read(self._shared.model)

    def model_now(self) -> Callable[[], ModelState]:
        """Gives the shared model as it is now, also when there is another."""
        return partial(self._read, self._shared.model)

    def _read(self, shared: Handle | None) -> ModelState:
        if shared is None:
            return self._initial.state
        with self._group_in_use:
            (settled,) = run_calls_in_order(self._group, [Call(0, "shared_model", (shared,))], self._max_attempts)
            if settled.answer is None:
                raise RoundFailed(0, 0, 1, {0: settled.reason})
            model: ModelState = settled.answer.values[0]
            return model

    def saved(self) -> tuple[dict[str, Any], list[Handle]]:
        """All that later rounds need, between two rounds: values, and the objects with models and peers' states."""
        models = {index: model for index, model in self._models.items() if model is not None}
        places_N3, states = places.saved(self._states)
        values = {
            "models_M": np.array([*models], np.int32),
            "places_N3": places_N3,
            "known_N": np.array(self._known, np.int32),
            "counted_N": np.array(self._counted, np.int32),
            "changed_C": self._shared.changed_C,
            "round": self._shared.round_index,
        }
        return values, [*models.values(), *states]

    def restore(self, saved: Mapping[str, Any], objects: Sequence[Handle]) -> None:
        """What :meth:`saved` gave, of a coordinator of the same settings."""
        self._group.abandon()
        models = saved["models_M"].tolist()
        self._models = {0: None} | dict(zip(models, objects, strict=False))
        self._states = places.restored(saved["places_N3"], objects[len(models) :])
        self._known, self._counted = saved["known_N"].tolist(), saved["counted_N"].tolist()
        self._shared = SharedModel(saved["round"], self._models[saved["round"]], saved["changed_C"])

    def play(self, round_index: int, progress: Progress) -> PlayedRound:
        """One round, from 1: all train, every message goes to all, one model moves.

        Raises:
            RoundFailed: too few peers finished.
            PeersApart: those that did cannot reach each other.
        """
        with self._group_in_use:
            return self._play(round_index, progress)

    def _play(self, round_index: int, progress: Progress) -> PlayedRound:
        started = time.perf_counter()
        newcomers = frozenset(client for client, state in enumerate(self._states) if state is None)
        this = RelayRound(round_index, Ledger(round_index), newcomers)
        self._catch_up(this)
        self._train(this, progress)
        self._check_finished(this)
        trees = self._trees_of(this)
        adding = time.perf_counter()
        shared = self._add(this, trees)
        self._check_finished(this)
        added = time.perf_counter()
        self._evaluate(this, shared)
        self._keep(this, shared)
        finished = time.perf_counter()
        facts = self._facts(this, added - adding, finished - added, finished - started)
        return PlayedRound(facts, this.ledger, tuple(this.spans), self._settings.runtime.profile)

    @property
    def _max_attempts(self) -> int:
        return self._settings.runtime.max_attempts

    def _catch_up(self, this: RelayRound) -> None:
        """Has peers that were away told what changed meanwhile: by the nearest that knows, because neighbours may have
        been away as well."""
        at, changed_C = self._shared.round_index, self._shared.changed_C
        holders = [client for client, known in enumerate(self._known) if known == at]
        ways = {
            client: relaying.nearest_way(self._topology, client, holders)
            for client, known in enumerate(self._known)
            if known < at
        }
        said = {
            client: Expected(Origin(at, way[0][0], 0), stands=way[0][0] not in this.newcomers)
            for client, way in ways.items()
        }
        calls = [
            Call(
                client, "changed_since", (said[client], self._shared.model, changed_C > self._known[client]), 1, 1,
                whose=f"client {client}",
            )
            for client in ways
        ]  # fmt: skip
        for settled in run_calls_in_order(self._group, calls, self._max_attempts, self._again):
            client = settled.key
            if settled.answer is None:
                this.failed[client], this.attempts[client] = settled.reason, settled.attempts
                continue
            bill_hops(this.ledger, [(ways[client], settled.answer.values[0])])
            this.missed[client] = Missed(said[client], settled.answer.handles[0])

    def _train(self, this: RelayRound, progress: Progress) -> None:
        """Has groups of peers train; one that was away trains alone, from what it has been told."""
        groups = self._groups(this)

        def call(key: int, clients: Group) -> Call:
            return self._train_call(this, key, clients)

        others = len(self._samples) - sum(map(len, groups))

        def note(done: int) -> None:
            progress(others + done, len(self._samples))

        calls, repeated = [call(*group) for group in enumerate(groups)], repeats_of_groups(groups, call)
        for settled in run_calls_in_order(self._group, calls, self._max_attempts, repeated.again, note, repeated.split):
            this.failed.update(settled.lost)
            this.attempts.update(dict.fromkeys((*settled.lost, *groups[settled.key]), settled.attempts))
            if settled.answer is None:
                this.failed.update(dict.fromkeys(groups[settled.key], settled.reason))
                continue
            answer: GroupAnswer = settled.answer.values[0]
            this.spans.extend(answer.spans)
            (result,) = answer.groups
            this.failed.update(result.failed)
            reports = {report.client_id: report for report in result.reports.rows()} if result.reports else {}
            this.reports.update(reports)
            this.payloads.update(rows_of(settled.answer, 0, 0, reports))
            this.states.update(rows_of(settled.answer, 1, 0, reports))

    def _groups(self, this: RelayRound) -> list[Group]:
        """Peers that know the newest model are trained in groups: the settings, and who was away, shape these."""
        together = [client for client in self._everybody if client not in this.failed and client not in this.missed]
        groups = grouping.groups(together, self._settings.federation, self._initial.spec.num_parameters)
        return [*groups, *((client,) for client in this.missed)]

    def _train_call(self, this: RelayRound, key: int, clients: Group) -> Call:
        missed = this.missed.get(clients[0])
        known = self._shared.model if missed is None else self._models[self._known[clients[0]]]
        placed = [self._states[client] for client in clients]
        at, states = arguments(placed)
        peers = tuple(
            TrainOrder(
                this.round_index,
                client,
                stands=client not in this.newcomers,
                rounds=this.round_index - self._counted[client],
            )
            for client in clients
        )
        order = RelayOrder(peers, at, missed.expected if missed else None)
        to_hand_over = order, known, missed.payload if missed else None, *states
        work, whose = sum(self._samples[client] for client in clients), clients_in_words(clients)
        return Call(key, "train_relay", to_hand_over, 1, 2, len(clients), work, whose, nearest(placed))

    def _check_finished(self, this: RelayRound) -> None:
        needed = round_rules.needed(len(self._samples), self._settings.federation.min_completion_rate)
        if len(this.counted) < needed:
            raise RoundFailed(this.round_index, len(this.counted), needed, {**this.failed, **this.rejected})

    def _trees_of(self, this: RelayRound) -> Mapping[int, Sequence[relaying.Edge]]:
        """The tree of each peer that finished, round those that did not."""
        present = frozenset(this.payloads)
        if present != self._trees[0]:
            parts = relaying.parts(self._topology, present)
            if len(parts) > 1:
                raise PeersApart(this.round_index, parts, this.failed)
            self._trees = present, relaying.all_trees(self._topology, present)
        return self._trees[1]

    def _add(self, this: RelayRound, trees: Mapping[int, Sequence[relaying.Edge]]) -> SharedModel:
        """The shared model after the round; bills every hop of every message.

        One that is no message gets no further than to its sender's neighbours: they look, before they hand it on.
        """
        senders = this.senders
        at, payloads = arguments([this.payloads[client] for client in senders])
        sent = dict(zip(senders, at, strict=True))
        to_hand_over = this.round_index, sent, this.newcomers, self._shared.model, *payloads
        call = Call(0, "add_messages", to_hand_over, 1, 1, clients=len(senders), work=len(senders))
        (settled,) = run_calls_in_order(self._group, [call], self._max_attempts, self._again)
        if settled.answer is None:
            raise RoundFailed(this.round_index, 0, 1, dict.fromkeys(senders, f"add: {settled.reason}"))
        answer: RelaySum = settled.answer.values[0]
        this.spans.extend(answer.spans)
        this.rejected.update(answer.rejected)
        for client in answer.rejected:
            del this.states[client]
        first = {client: [edge for edge in trees[client] if edge[0] == client] for client in answer.unread}
        bill_hops(this.ledger, [(first.get(client, trees[client]), answer.sizes[client]) for client in senders])
        changed_C = np.where(answer.sent_C, np.int32(this.round_index), self._shared.changed_C)
        return SharedModel(this.round_index, settled.answer.handles[0], changed_C)

    def _evaluate(self, this: RelayRound, shared: SharedModel) -> None:
        """Measures the model once for all that have it; with what stays with each where something does."""
        federation, last = self._settings.federation, self._settings.federation.federated_learning_rounds
        if not round_rules.is_evaluated(this.round_index, federation.evaluation_interval, last):
            return
        how = this.round_index, self._max_attempts, self._again
        if self._initial.spec.home is not None:
            measured, spans = evaluate_peers(self._group, shared.model, this.states, *how)
            this.evaluated = Evaluated.of(None, measured)
            this.spans.extend(spans)
            return
        scores, spans = evaluate_model(self._group, shared.model, self._test_parts, *how)
        this.spans.extend(spans)
        own: dict[int, EvaluationSums] = {}
        if self._settings.data.client_test_share:
            own, spans = evaluate_own(self._group, shared.model, this.senders, *how)
            this.spans.extend(spans)
        this.evaluated = Evaluated(scores, dict.fromkeys(this.senders, scores), own)

    def _keep(self, this: RelayRound, shared: SharedModel) -> None:
        """What there is after the round. A peer that failed did not hear of it: what it knows stays as it was."""
        for client in this.payloads:
            self._known[client] = this.round_index
        for client, state in this.states.items():
            self._states[client], self._counted[client] = state, this.round_index
        self._shared = shared
        self._models = {
            index: model
            for index, model in {**self._models, shared.round_index: shared.model}.items()
            if index == shared.round_index or index in self._known
        }

    def _facts(self, this: RelayRound, added_s: float, evaluated_s: float, wall_s: float) -> RoundFacts:
        evaluated = this.evaluated
        return RoundFacts(
            round_index=this.round_index,
            num_chunks=self._layout.num_chunks,
            samples=dict(enumerate(self._samples)),
            reports=this.reports,
            attempts=this.attempts,
            failed=this.failed,
            rejected=this.rejected,
            evaluated=evaluated,
            metrics=self._measures.values(evaluated.scores) if evaluated.scores else {},
            client_metrics={} if evaluated.scores else self._measures.of_clients(evaluated.clients),
            own_metrics=self._measures.of_clients(evaluated.own, where_known=True),
            target=self._settings.target,
            consensus_distance=0.0 if evaluated.clients else None,
            dense_bytes_each_way=dense_bytes_of_peers(self._initial.spec, self._topology, this.newcomers),
            record_chunks=self._settings.tracking.record_chunks,
            aggregate_s=added_s,
            evaluate_s=evaluated_s,
            busy=busy_share(this.spans, wall_s, self._group.size),
            wall_s=wall_s,
        )

    def _again(self, lost: Lost) -> Call:
        """Repeats a lost call, unless what it was sent is gone: what is everybody's, where it is for nobody by name."""
        if lost.arguments_lost:
            raise StatesLost([lost.call.key] if lost.call.whose else self._everybody)
        return lost.call
