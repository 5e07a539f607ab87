"""The coordinator of a star, as a plain class: owns the rounds and the global model; trains nothing.

Clients' weights stay behind handles. The coordinator looks at reports and payloads only, checks each payload before
it counts, and adds them in client order as they come.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from actors.agreement import Agreement
from actors.budget import Budget
from actors.calls import Settled, run_calls, run_calls_in_order
from actors.evaluation import evaluate_model
from actors.global_model import RoundSum, initial_global_model
from actors.intake import Intake
from actors.ledger import Ledger
from actors.members import Members
from actors.round_tables import RoundFacts, round_tables
from orchestrator import rounds
from orchestrator.chunking import scoring
from orchestrator.chunking.encoding import message_bytes
from orchestrator.errors import PayloadError, RoundFailed, group_reasons
from orchestrator.exchange import Choice, layout_for
from orchestrator.messages import (
    COORDINATOR,
    ClientReport,
    EvaluationSums,
    InitialModel,
    ModelState,
    RoundResult,
    TrainOrder,
)
from orchestrator.ports import Call, ClientGroup, Handle, Lost
from orchestrator.settings import Settings

Progress = Callable[[int, int], None]
"""Called with (clients done, cohort) as a round goes."""

NO_SCORES: Mapping[int, EvaluationSums] = {}


@dataclass
class _Round:
    """What comes together while a round runs."""

    round_index: int
    cohort: tuple[int, ...]
    ledger: Ledger
    total: RoundSum
    affordable_bytes: int | None
    """What one client may send; None: no budget."""
    agreed: Choice | None = None
    """What all clients are to send, with consensus, once it is known."""
    scores: dict[int, NDArray[np.float32]] = field(default_factory=dict)
    reports: dict[int, ClientReport] = field(default_factory=dict)
    attempts: dict[int, int] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)
    """Clients that gave no answer, and why."""
    rejected: dict[int, str] = field(default_factory=dict)
    """Clients of which a message did not pass the checks, and why."""
    aggregate_s: float = 0.0

    @property
    def counted(self) -> list[int]:
        """Clients whose update counts, in order."""
        return [client for client in self.cohort if client not in self.failed and client not in self.rejected]


class Coordinator:
    """Runs rounds over a group of client actors."""

    def __init__(
        self,
        settings: Settings,
        group: ClientGroup,
        initial: InitialModel,
        samples_per_client: tuple[int, ...],
        test_parts: tuple[slice, ...],
    ) -> None:
        chunking, federation = settings.chunking, settings.federation
        self._settings = settings
        self._group = group
        self._spec = initial.spec
        self._samples = samples_per_client
        self._test_parts = test_parts
        self._layout = layout_for(chunking, initial.spec.num_parameters)
        self._model = initial_global_model(chunking, federation.server_learning_rate, self._layout, initial.state)
        knows = federation.initial_model == "seed"
        self._members = Members(len(samples_per_client), group, know_the_first_model=knows)
        self._intake = Intake(chunking, self._layout, initial.spec, samples_per_client)
        self._agreement = Agreement(chunking, self._layout) if chunking.agrees else None
        self._budget = Budget(settings, self._layout, initial.spec)

    @property
    def model(self) -> ModelState:
        """The coordinator's own model as it is now."""
        return self._model.state

    def run_round(self, round_index: int, progress: Progress) -> RoundResult:
        """One round, from 1. Raises RoundFailed when too few clients finish."""
        started = time.perf_counter()
        settings = self._settings.federation
        cohort = rounds.cohort(
            settings.number_of_clients, settings.client_sampling_rate, settings.random_seed, round_index
        )
        total = RoundSum(self._layout, self._spec.num_float_buffers, self._spec.num_integer_buffers)
        affordable_bytes = self._budget.bytes_per_client(round_index, len(cohort))
        this = _Round(round_index, cohort, Ledger(round_index), total, affordable_bytes)
        self._train(this, progress)
        needed = rounds.needed(len(cohort), settings.min_completion_rate)
        if len(this.counted) < needed:
            raise RoundFailed(round_index, len(this.counted), needed, {**this.failed, **this.rejected})
        self._close(this)
        trained = time.perf_counter()
        scores, client_scores = None, NO_SCORES
        if rounds.is_evaluated(round_index, settings.evaluation_interval, settings.federated_learning_rounds):
            limit = self._settings.runtime.max_attempts
            scores = evaluate_model(self._group, self._model.state, self._test_parts, round_index, limit)
            client_scores = self._evaluate_clients(this) if settings.evaluate_clients else NO_SCORES
        finished = time.perf_counter()
        facts = RoundFacts(
            round_index=round_index,
            num_chunks=self._layout.num_chunks,
            samples={client: self._samples[client] for client in cohort},
            reports=this.reports,
            attempts=this.attempts,
            failed=this.failed,
            rejected=this.rejected,
            scores=scores,
            client_scores=client_scores,
            consensus_distance=None,
            dense_bytes_each_way=len(cohort) * self._dense_message_bytes,
            with_chunks=self._settings.tracking.record_chunks,
            aggregate_s=this.aggregate_s,
            evaluate_s=finished - trained,
            wall_s=finished - started,
        )
        problems = group_reasons({**this.failed, **this.rejected})
        return RoundResult(round_index, round_tables(facts, this.ledger), tuple(problems))

    def _train(self, this: _Round, progress: Progress) -> None:
        """Has every client of the cohort train, and takes its update; with consensus perhaps its scores first."""
        asks = self._agreement is not None and self._agreement.asks(this.round_index)
        if self._agreement is not None and not asks:
            this.agreed = self._agreement.foresee(this.round_index, self._budget.chunks(this.affordable_bytes))
        choice_C = this.agreed.selected_C if this.agreed else None
        downlinks = self._members.send_model(this.cohort, self._model, this.ledger, choice_C)

        def call(client: int) -> Call:
            order = TrainOrder(this.round_index, client, this.affordable_bytes)
            return Call(client, "train", (order, downlinks[client], self._members.state(client)), 2, 1)

        def again(lost: Lost) -> Call:
            client = lost.call.key
            if lost.arguments_lost:
                self._members.forget(client)
                downlinks.update(self._members.send_model([client], self._model, this.ledger, choice_C))
            return call(client)

        limit = self._settings.runtime.max_attempts
        calls = [call(client) for client in this.cohort]
        ended = run_calls_in_order(self._group, calls, limit, again, lambda done: progress(done, len(calls)))
        for settled in ended:
            this.attempts[settled.key] = settled.attempts
            if settled.answer is None:
                this.failed[settled.key] = settled.reason
                continue
            report, payload = settled.answer.values
            this.reports[settled.key] = report
            if asks:
                self._take_scores(this, settled.key, payload, settled.answer.handles[0])
            else:
                self._take_update(this, settled.key, payload, settled.answer.handles[0])
        if asks and this.scores:
            self._take_agreed(this)

    def _take_scores(self, this: _Round, client: int, payload: NDArray[np.uint8], state: Handle) -> None:
        """Checks the scores of one client, which waits to be told what to send."""
        try:
            this.scores[client], sizes = self._intake.scores(this.round_index, client, payload)
        except PayloadError as error:
            self._reject(this, client, payload, error)
        else:
            this.ledger.bill(client, COORDINATOR, sizes)
            self._members.know(client, self._model.round_index, state)

    def _take_agreed(self, this: _Round) -> None:
        """Picks one set of chunks from the clients' scores, tells them, and takes their updates."""
        assert self._agreement is not None
        clients = list(this.scores)
        left = None
        if this.affordable_bytes is not None:
            left = this.affordable_bytes - this.ledger.uplink_bytes(clients[0])
        weights = [self._weight(client) for client in clients]
        most = self._budget.chunks(left)
        this.agreed = self._agreement.agree(this.round_index, list(this.scores.values()), weights, most)
        told = self._members.send_choice(clients, self._model, this.round_index, this.ledger, this.agreed.selected_C)
        calls = [
            Call(c, "emit_agreed", (TrainOrder(this.round_index, c), told, self._members.state(c)), 2, 1)
            for c in clients
        ]
        for settled in run_calls_in_order(self._group, calls, self._settings.runtime.max_attempts):
            if settled.answer is None:
                this.failed[settled.key] = settled.reason
                continue
            residual_norm, payload = settled.answer.values
            self._note_emission(this, settled, this.agreed, residual_norm)
            self._take_update(this, settled.key, payload, settled.answer.handles[0])

    def _note_emission(self, this: _Round, settled: Settled, agreed: Choice, residual_norm: float | None) -> None:
        """Completes the report of a client that was told what to send."""
        this.reports[settled.key] = replace(
            this.reports[settled.key],
            selected_C=agreed.selected_C,
            chunks_sent=int(agreed.selected_C.sum()),
            sensitivity_percentage=100.0 * float(agreed.selected_C.mean()),
            sensitivity_reason=agreed.reason,
            residual_norm=residual_norm,
        )

    def _take_update(self, this: _Round, client: int, payload: NDArray[np.uint8], state: Handle) -> None:
        """Checks one client's payload and adds it; what does not pass is left out of the round."""
        started = time.perf_counter()
        agreed_C = this.agreed.selected_C if this.agreed else None
        try:
            message = self._intake.update(this.round_index, client, payload, agreed_C)
        except PayloadError as error:
            self._reject(this, client, payload, error)
        else:
            this.total.add(message, self._weight(client))
            this.ledger.bill(client, COORDINATOR, message.sizes)
        if client not in this.rejected or not self._settings.chunking.feeds_back:
            # With error feedback the new state has let go of what a rejected payload held, so the old one stays.
            self._members.know(client, self._model.round_index, state)
            if this.agreed is not None:
                self._members.told(client, this.round_index)
        this.aggregate_s += time.perf_counter() - started

    @staticmethod
    def _reject(this: _Round, client: int, payload: NDArray[np.uint8], error: PayloadError) -> None:
        this.rejected[client] = error.reason
        this.ledger.bill(client, COORDINATOR, {"rejected": payload.nbytes})

    def _close(self, this: _Round) -> None:
        """Moves the model, and learns from the round what the next ones need to know."""
        if self._agreement is not None:
            sent_C = this.total.chunks.sent_C
            norms_C = scoring.norms(self._model.change_of(this.total), self._layout)
            self._agreement.observe(this.round_index, sent_C, norms_C)
        self._model = self._model.after(this.round_index, this.total)
        self._budget.spend(this.ledger.uplink_bytes())

    def _weight(self, client: int) -> float:
        """The client's weight in the mean."""
        return float(self._samples[client]) if self._settings.federation.aggregation_sample_scaling else 1.0

    def _evaluate_clients(self, this: _Round) -> Mapping[int, EvaluationSums]:
        """Has the clients that counted reconstruct now, instead of at their next round, and measures their models.

        What they are sent for it is billed to this round; they are not sent it again.
        """
        downlinks = self._members.send_model(this.counted, self._model, this.ledger)
        calls = [
            Call(c, "evaluate_client", (TrainOrder(this.round_index, c), downlinks[c], self._members.state(c)), 1, 1)
            for c in this.counted
        ]
        scores: dict[int, EvaluationSums] = {}
        for settled in run_calls(self._group, calls, self._settings.runtime.max_attempts):
            if settled.answer is not None:
                scores[settled.key] = settled.answer.values[0]
                self._members.know(settled.key, self._model.round_index, settled.answer.handles[0])
        return scores

    @property
    def _dense_message_bytes(self) -> int:
        """Bytes of one message of full exchange: the whole model as one chunk."""
        spec = self._spec
        return sum(message_bytes(1, spec.num_parameters, spec.num_float_buffers, spec.num_integer_buffers).values())
