"""The coordinator of a star, as a plain class: owns the rounds and the global model; trains nothing.

Clients' weights stay behind handles. The coordinator looks at reports, at payloads and at sums of groups; a payload is
checked before it counts, here or where its group is summed. Groups are added in order as they come.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedchunk.actors.coordinator.calls import Settled, Split, probe_key, run_calls, run_calls_in_order
from fedchunk.actors.coordinator.client_directory import ClientDirectory
from fedchunk.actors.coordinator.dispatch import Batch, Dispatch, remaining
from fedchunk.actors.coordinator.downlinks import DownlinkBatch, Downlinks
from fedchunk.actors.coordinator.evaluation import Evaluated, evaluate_model
from fedchunk.actors.coordinator.ledger import Ledger
from fedchunk.actors.coordinator.places import Placed, rows_of
from fedchunk.actors.coordinator.round_state import RoundState
from fedchunk.actors.coordinator.round_tables import PlayedRound, RoundFacts, busy_share
from fedchunk.actors.payloads import outliers
from fedchunk.actors.payloads.group_sum import GroupSum
from fedchunk.actors.payloads.verification import PayloadVerifier
from fedchunk.orchestrator.chunking import scoring
from fedchunk.orchestrator.chunking.aggregation import PartialSum, RoundSum
from fedchunk.orchestrator.contract.evaluation import Measured
from fedchunk.orchestrator.contract.messages import COORDINATOR, EmitAnswer, GroupAnswer, InitialModel, ModelState
from fedchunk.orchestrator.contract.ports import Call, ClientGroup, Handle, Lost
from fedchunk.orchestrator.contract.spans import SpanRecorder
from fedchunk.orchestrator.core import round_rules
from fedchunk.orchestrator.core.errors import PayloadError, RoundFailed, StatesLost
from fedchunk.orchestrator.learning.measures import Measures
from fedchunk.orchestrator.methods.agreement import Agreement
from fedchunk.orchestrator.methods.budget import Budget
from fedchunk.orchestrator.methods.exchange_rules._rule import GlobalModel
from fedchunk.orchestrator.methods.method import Method, aggregate_of, client_weight, dense_bytes, server_side
from fedchunk.orchestrator.methods.saved_model import restored_model, saved_model
from fedchunk.orchestrator.settings.whole import Settings

Progress = Callable[[int, int], None]
"""Called with (clients done, cohort) as a round goes."""

Payload = NDArray[np.uint8]
Places = Mapping[int, Placed]


class Coordinator:
    """Runs rounds over a group of client actors."""

    def __init__(
        self,
        settings: Settings,
        group: ClientGroup,
        initial: InitialModel,
        samples_per_client: tuple[int, ...],
        test_parts: tuple[slice, ...],
        ledger_of: Callable[[int], Ledger] = Ledger,
    ) -> None:
        """``ledger_of`` makes the ledger of a round."""
        chunking = settings.chunking
        self._settings = settings
        self._group = group
        self._ledger_of = ledger_of
        self._spec = initial.spec
        self._samples = samples_per_client
        self._test_parts = test_parts
        self._method = method = Method.of(settings, initial.spec)
        self._layout = method.layout
        self._model = method.rule.global_model(server_side(settings, method.layout), initial.state)
        self._aggregate = aggregate_of(settings)
        self._clients = ClientDirectory.of(settings, method, len(samples_per_client))
        self._dispatch = Dispatch(settings, self._clients, initial.spec.num_parameters, group, samples_per_client)
        self._verifier = PayloadVerifier(method, initial.spec, samples_per_client, settings)
        self._agreement = Agreement(chunking, method.chooser, self._layout.num_chunks) if chunking.agrees else None
        self._budget = Budget(settings, self._layout, initial.spec, method.packing.codec)
        self._measures = Measures(settings)
        self._spans = SpanRecorder("coordinator")
        written = self._dispatch.writes_messages or settings.bound("exchange_rule").is_own
        self._downlinks = Downlinks(self._clients, self._spans, written=written)

    @property
    def model(self) -> ModelState:
        """The coordinator's own model as it is now."""
        return self._model.state

    def model_now(self) -> Callable[[], ModelState]:
        """Gives the model as it is now, also when there is another."""
        state = self._model.state
        return lambda: state

    @property
    def global_model(self) -> GlobalModel:
        """The same, with what clients have still to be told."""
        return self._model

    def stands(self, client: int) -> bool:
        """Whether the client took part before: messages to and from it need not say what both know."""
        return self._clients.stands(client)

    def saved(self) -> tuple[dict[str, Any], list[Handle]]:
        """All that later rounds need, between two rounds: values, and the objects with clients' states."""
        clients, objects = self._clients.saved()
        agreement = self._agreement.saved() if self._agreement else None
        saved = {
            "weights": self._model.state,
            "model": saved_model(self._model),
            "clients": clients,
            "agreement": agreement,
            "budget_left": self._budget.left,
        }
        return saved, objects

    def restore(self, saved: Mapping[str, Any], objects: Sequence[Handle]) -> None:
        """What :meth:`saved` gave, of a coordinator of the same settings."""
        self._group.abandon()
        self._model = restored_model(self._model, saved["model"])
        self._clients.restore(saved["clients"], objects)
        if self._agreement is not None:
            self._agreement.restore(saved["agreement"])
        self._budget.left = saved["budget_left"]

    def play(self, round_index: int, progress: Progress) -> PlayedRound:
        """One round, from 1. Raises RoundFailed when too few clients finish."""
        started = time.perf_counter()
        this = self._trained(round_index, progress)
        needed = round_rules.needed(len(this.cohort), self._settings.federation.min_completion_rate)
        if len(this.counted) < needed:
            raise RoundFailed(round_index, len(this.counted), needed, {**this.failed, **this.rejected})
        with self._spans.doing("aggregate"):
            self._close(this)
        trained = time.perf_counter()
        evaluated = self._evaluate(this)
        finished = time.perf_counter()
        facts = self._facts(this, evaluated, finished - trained, finished - started)
        spans = (*this.spans, *self._spans.read_out())
        return PlayedRound(facts, this.ledger, spans, self._settings.runtime.profile)

    def _trained(self, round_index: int, progress: Progress) -> RoundState:
        """All clients have trained. Where an update is far larger than the others, once more, now that it is known.

        Sums are added up as they come and cannot be taken apart; what clients do is the same when they are asked again.
        """
        clients, agreement = self._clients.entries, self._agreement.saved() if self._agreement else {}
        this = self._begin(round_index)
        self._train(this, progress)
        this.most_a_unit = outliers.bound(this.largest, self._settings.federation.max_update_ratio)
        if this.most_a_unit is None:
            return this
        self._clients.entries = clients
        if self._agreement is not None:
            self._agreement.restore(agreement)
        again = self._begin(round_index)
        again.most_a_unit = this.most_a_unit
        self._train(again, progress)
        return again

    def _begin(self, round_index: int) -> RoundState:
        federation = self._settings.federation
        cohort = round_rules.cohort(
            federation.number_of_clients, federation.client_sampling_rate, federation.random_seed, round_index
        )
        spec = self._spec
        total = RoundSum(self._layout, spec.num_float_buffers, spec.num_integer_buffers, rule=self._aggregate)
        affordable_bytes = self._budget.bytes_per_client(round_index, len(cohort), self._clients.stands)
        newcomers = frozenset(client for client in cohort if not self._clients.stands(client))
        groups, ledger = self._dispatch.groups(cohort), self._ledger_of(round_index)
        return RoundState(round_index, cohort, groups, ledger, total, affordable_bytes, newcomers)

    def _facts(self, this: RoundState, evaluated: Evaluated, evaluate_s: float, wall_s: float) -> RoundFacts:
        return RoundFacts(
            round_index=this.round_index,
            num_chunks=self._layout.num_chunks,
            samples={client: self._samples[client] for client in this.cohort},
            reports=this.reports,
            attempts=this.attempts,
            failed=this.failed,
            rejected=this.rejected,
            evaluated=evaluated,
            metrics=self._measures.values(evaluated.scores) if evaluated.scores else {},
            client_metrics=self._measures.of_clients(evaluated.clients),
            own_metrics=self._measures.of_clients(evaluated.own, where_known=True),
            target=self._settings.target,
            consensus_distance=None,
            dense_bytes_each_way=dense_bytes(self._spec, len(this.cohort), len(this.newcomers)),
            record_chunks=self._settings.tracking.record_chunks,
            aggregate_s=sum(s.duration_s for s in (*this.spans, *self._spans.spans) if s.activity == "aggregate"),
            evaluate_s=evaluate_s,
            busy=busy_share(this.spans, wall_s, self._group.size),
            wall_s=wall_s,
        )

    def _train(self, this: RoundState, progress: Progress) -> None:
        """Has every client of the cohort train, and takes its update; with consensus perhaps its scores first."""
        asks = self._agreement is not None and self._agreement.asks(this.round_index)
        if self._agreement is not None and not asks:
            this.agreed = self._agreement.predict(this.round_index, self._budget.chunks(this.affordable_bytes))
        messages, bill = self._downlinks.of_model(this.cohort, self._model, this.ledger, this.agreed_C)
        batches = self._dispatch.batches(this.groups)

        def call(key: int, downlinks: DownlinkBatch) -> Call:
            return self._train_call(this, key, batches[key], downlinks)

        def again(lost: Lost) -> Call:
            if lost.arguments_lost:
                raise StatesLost(list(chain(*batches[lost.call.key])))
            return call(lost.call.key, messages)

        def note(done: int) -> None:
            progress(done, len(this.cohort))

        def alone(key: int) -> dict[int, Call]:
            return {
                client: self._train_call(this, probe_key(), ((client,),), messages) for client in chain(*batches[key])
            }

        def without(key: int, lost: Mapping[int, str]) -> Call | None:
            batches[key] = remaining(batches[key], lost)
            return call(key, messages) if batches[key] else None

        calls = [call(key, messages) for key in range(len(batches))]
        split = Split(alone, without)
        for settled in run_calls_in_order(self._group, calls, self._max_attempts, again, note, split, bill):
            self._take_batch(this, settled, batches[settled.key], asks=asks)
        if asks and this.scores:
            self._take_agreed(this)

    def _train_call(self, this: RoundState, key: int, batch: Batch, downlinks: DownlinkBatch) -> Call:
        return self._dispatch.call(
            key, "train_group", this.round_index, batch, downlinks, this.affordable_bytes, this.most_a_unit
        )

    def _take_batch(self, this: RoundState, settled: Settled, batch: Batch, *, asks: bool) -> None:
        """Takes what a call brought back, group by group."""
        this.failed.update(settled.lost)
        this.attempts.update(dict.fromkeys(chain(settled.lost, *batch), settled.attempts))
        if settled.answer is None:
            this.failed.update(dict.fromkeys(chain(*batch), settled.reason))
            return
        answer: GroupAnswer = settled.answer.values[0]
        payloads = iter(settled.answer.values[1])
        this.spans.extend(answer.spans)
        for number, result in enumerate(answer.groups):
            reports = result.reports.rows() if result.reports else []
            clients = [report.client_id for report in reports]
            places = rows_of(settled.answer, 0, number, clients)
            this.failed.update(result.failed)
            this.reports.update(zip(clients, reports, strict=True))
            if result.sizes:
                this.largest.update(result.largest)
                self._settle(this, places, result.sizes, result.rejected, result.total)
            elif asks:
                self._take_scores(this, ((client, next(payloads)) for client in clients), places)
            else:
                self._take_updates(this, [(client, next(payloads)) for client in clients], places)

    def _take_scores(self, this: RoundState, sent: Iterable[tuple[int, Payload]], places: Places) -> None:
        """Checks the scores of clients, which wait to be told what to send."""
        for client, payload in sent:
            try:
                stands = client not in this.newcomers
                this.scores[client], sizes = self._verifier.scores(this.round_index, client, payload, stands=stands)
            except PayloadError as error:
                this.rejected[client] = error.reason
                this.ledger.bill(client, COORDINATOR, {"rejected": getattr(payload, "nbytes", 0)})
            else:
                this.ledger.bill(client, COORDINATOR, sizes)
                self._clients.record_state(client, self._model.round_index, places[client], this.round_index)

    def _take_agreed(self, this: RoundState) -> None:
        """Picks one set of chunks from the clients' scores, tells them, and takes their updates."""
        assert self._agreement is not None
        clients = list(this.scores)
        left = None
        if this.affordable_bytes is not None:
            left = this.affordable_bytes - self._budget.score_bytes
        weights = [self._weight(client) for client in clients]
        most = self._budget.chunks(left)
        agreed = this.agreed = self._agreement.agree(this.round_index, list(this.scores.values()), weights, most)
        told = self._downlinks.of_choice(clients, self._model, this.round_index, this.ledger, agreed.selected_C)
        groups = [tuple(c for c in group if c in this.scores) for group in this.groups]
        batches = self._dispatch.batches([group for group in groups if group])
        messages = DownlinkBatch([told], dict.fromkeys(clients, (0,)))
        calls = [
            self._dispatch.call(key, "emit_group", this.round_index, batch, messages)
            for key, batch in enumerate(batches)
        ]
        for settled in run_calls_in_order(self._group, calls, self._max_attempts):
            batch = batches[settled.key]
            if settled.answer is None:
                this.failed.update(dict.fromkeys(chain(*batch), settled.reason))
                continue
            answer: EmitAnswer = settled.answer.values[0]
            payloads = iter(settled.answer.values[1])
            this.spans.extend(answer.spans)
            this.failed.update(answer.failed)
            for number, group in enumerate(batch):
                group = tuple(client for client in group if client not in answer.failed)
                this.note_emissions(group, agreed, answer.residual_norms[number])
                places = rows_of(settled.answer, 0, number, group)
                self._take_updates(this, [(client, next(payloads)) for client in group], places)

    def _take_updates(self, this: RoundState, sent: list[tuple[int, Payload]], places: Places) -> None:
        """Checks and adds the payloads of one group; what does not pass is left out of the round."""
        # One alone is added to the total at once: a sum that begins with zero has the same bits.
        at_once = len(sent) == 1 or self._aggregate is not None
        with self._spans.doing("aggregate", len(sent)):
            group = GroupSum(self._layout, self._spec, self._verifier, self._weight, this.total if at_once else None)
            newcomers = this.newcomers.difference(this.scores)
            group.add(this.round_index, sent, this.agreed_C, this.most_a_unit, newcomers=newcomers)
            this.largest.update(group.largest)
            self._settle(this, places, group.sizes, group.rejected, None if at_once else group.partial())

    def _settle(
        self,
        this: RoundState,
        places: Places,
        sizes: Mapping[int, Mapping[str, int]],
        rejected: Mapping[int, str],
        partial: PartialSum | None,
    ) -> None:
        """Adds the sum of a group, bills its payloads, and keeps what its clients have become."""
        if partial is not None:
            this.total.merge(partial)
        this.rejected.update(rejected)
        for client, place in places.items():
            this.ledger.bill(client, COORDINATOR, sizes[client])
            if client not in rejected or not self._method.rule.keeps_residual:
                # With error feedback the new state no longer holds what a rejected payload held: the old one stays.
                self._clients.record_state(client, self._model.round_index, place, this.round_index)
                if this.agreed is not None:
                    self._clients.record_choice(client, this.round_index)

    def _close(self, this: RoundState) -> None:
        """Moves the model, and learns from the round what the next ones need to know."""
        if self._agreement is not None:
            sent_C = this.total.chunks.sent_C
            norms_C = scoring.norms(self._model.change_of(this.total), self._layout)
            self._agreement.observe(this.round_index, sent_C, norms_C)
        self._model = self._model.after(this.round_index, this.total)
        self._clients.close_round(this.round_index, this.reports, self._model)
        self._budget.spend(this.ledger.uplink_bytes())

    def _evaluate(self, this: RoundState) -> Evaluated:
        """Measures the coordinator's model, and the clients' own where the settings ask for it."""
        settings = self._settings.federation
        if not round_rules.is_evaluated(
            this.round_index, settings.evaluation_interval, settings.federated_learning_rounds
        ):
            return Evaluated()
        if self._spec.home is not None:  # then the coordinator's model is a part, which gives no answers
            return Evaluated.of(None, self._evaluate_clients(this) if settings.evaluate_clients else {})
        scores, spans = evaluate_model(
            self._group, self._group.put(self._model.state), self._test_parts, this.round_index, self._max_attempts
        )
        this.spans.extend(spans)
        return Evaluated.of(scores, self._evaluate_clients(this) if settings.evaluate_clients else {})

    def _evaluate_clients(self, this: RoundState) -> Mapping[int, Measured]:
        """Has the clients that counted reconstruct now, instead of at their next round, and measures their models.

        What they are sent for it is billed to this round; they are not sent it again.
        """
        counted = set(this.counted)
        messages, bill = self._downlinks.of_model(this.counted, self._model, this.ledger)
        bill()
        groups = [tuple(c for c in group if c in counted) for group in this.groups]
        batches = self._dispatch.batches([group for group in groups if group])
        calls = [
            self._dispatch.call(key, "evaluate_group", this.round_index, batch, messages)
            for key, batch in enumerate(batches)
        ]
        measured: dict[int, Measured] = {}
        for settled in run_calls(self._group, calls, self._max_attempts):
            if settled.answer is None:
                continue
            all_sums, spans = settled.answer.values
            this.spans.extend(spans)
            for number, (group, sums) in enumerate(zip(batches[settled.key], all_sums, strict=True)):
                measured.update(sums)
                clients = [client for client in group if client in sums]
                for client, place in rows_of(settled.answer, 0, number, clients).items():
                    self._clients.record_state(client, self._model.round_index, place, this.round_index)
        return {client: measured[client] for client in this.counted if client in measured}

    def _weight(self, client: int) -> float:
        """The client's weight in the mean."""
        return client_weight(self._settings.federation, self._samples[client])

    @property
    def _max_attempts(self) -> int:
        return self._settings.runtime.max_attempts
