"""The coordinator, as a plain class: owns the rounds, the global model and the clients' states; trains nothing.

Clients' weights stay behind handles. The coordinator looks at reports and payloads only, checks each payload before
it counts, and adds them in client order as they come.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from actors.calls import Settled, run_calls
from actors.global_model import NEVER, GlobalModel, RoundSum
from actors.ledger import Ledger
from actors.round_tables import RoundFacts, round_tables
from orchestrator import rounds
from orchestrator.chunking.encoding import Message, decode, message_bytes
from orchestrator.errors import PayloadError, RoundFailed, group_reasons
from orchestrator.exchange import layout_for
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


@dataclass
class _Member:
    """What the coordinator keeps of a client: how much of the model it knows, and where its state lies."""

    known_round: int = NEVER
    state: Handle | None = None


@dataclass
class _Round:
    """What comes together while a round runs."""

    round_index: int
    cohort: tuple[int, ...]
    ledger: Ledger
    total: RoundSum
    reports: dict[int, ClientReport] = field(default_factory=dict)
    attempts: dict[int, int] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)
    """Clients that gave no answer, and why."""
    rejected: dict[int, str] = field(default_factory=dict)
    """Clients whose payload did not pass the checks, and why."""
    aggregate_s: float = 0.0

    @property
    def counted(self) -> list[int]:
        """Clients whose update counts, in order."""
        return [client for client in self.cohort if client in self.reports and client not in self.rejected]


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
        self._settings = settings
        self._group = group
        self._spec = initial.spec
        self._samples = samples_per_client
        self._test_parts = test_parts
        self._layout = layout_for(settings.chunking, initial.spec.num_parameters)
        self._model = GlobalModel.initial(self._layout, initial.state)
        self._members = [_Member() for _ in samples_per_client]

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
        this = _Round(round_index, cohort, Ledger(round_index), total)
        self._train(this, progress)
        needed = rounds.needed(len(cohort), settings.min_completion_rate)
        if len(this.counted) < needed:
            raise RoundFailed(round_index, len(this.counted), needed, {**this.failed, **this.rejected})
        self._model = self._model.after(round_index, this.total)
        trained = time.perf_counter()
        scores, client_scores = None, dict[int, EvaluationSums]()
        if self._is_evaluated(round_index):
            scores = self._evaluate(round_index)
            client_scores = self._evaluate_clients(this) if settings.evaluate_clients else {}
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
            dense_message_bytes=self._dense_message_bytes,
            with_chunks=self._settings.tracking.record_chunks,
            aggregate_s=this.aggregate_s,
            evaluate_s=finished - trained,
            wall_s=finished - started,
        )
        problems = group_reasons({**this.failed, **this.rejected})
        return RoundResult(round_index, round_tables(facts, this.ledger), tuple(problems))

    def _train(self, this: _Round, progress: Progress) -> None:
        """Has every client of the cohort train; adds each update once all clients before it are settled."""
        downlinks = self._send_model(this.cohort, this.ledger)
        orders = {client: TrainOrder(this.round_index, client) for client in this.cohort}

        def call(client: int) -> Call:
            return Call(client, "train", (orders[client], downlinks[client], self._members[client].state), 2, 1)

        def again(lost: Lost) -> Call:
            if lost.arguments_lost:
                self._members[lost.call.key] = _Member()
                downlinks.update(self._send_model([lost.call.key], this.ledger))
            return call(lost.call.key)

        order = rounds.InOrder(this.cohort)
        answers: dict[int, Settled] = {}
        calls = [call(client) for client in this.cohort]
        ended = run_calls(self._group, calls, self._settings.runtime.max_attempts, again)
        for done, settled in enumerate(ended, start=1):
            answers[settled.key] = settled
            order, ready = order.settle(settled.key)
            for client in ready:
                self._take(this, client, answers.pop(client))
            progress(done, len(this.cohort))

    def _take(self, this: _Round, client: int, settled: Settled) -> None:
        """Checks one client's answer and adds its update; what does not pass is left out of the round."""
        this.attempts[client] = settled.attempts
        if settled.answer is None:
            this.failed[client] = settled.reason
            return
        started = time.perf_counter()
        report, payload = settled.answer.values
        this.reports[client] = report
        self._members[client] = _Member(self._model.round_index, settled.answer.handles[0])
        try:
            message = self._checked(this.round_index, client, payload)
        except PayloadError as error:
            this.rejected[client] = error.reason
            this.ledger.bill(client, COORDINATOR, {"rejected": len(payload)})
        else:
            scaled = self._settings.federation.aggregation_sample_scaling
            this.total.add(message, float(message.num_samples) if scaled else 1.0)
            this.ledger.bill(client, COORDINATOR, self._sizes(message))
        this.aggregate_s += time.perf_counter() - started

    def _checked(self, round_index: int, client: int, payload: NDArray[np.uint8]) -> Message:
        """The message in a payload, after every check that needs no trust in its sender."""
        message = decode(payload, self._layout, self._spec.num_float_buffers, self._spec.num_integer_buffers)
        expected = (round_index, client, self._samples[client])
        found = (message.round_index, message.sender, message.num_samples)
        if found != expected:
            raise PayloadError(f"says (round, client, samples) {found}, expected {expected}")
        if message.buffers_B is None or message.counters_I is None:
            raise PayloadError("holds no buffers")
        if message.shares_K is not None or not message.mask_C.any():
            raise PayloadError("holds no chunk, or shares, which clients do not send")
        return message

    def _sizes(self, message: Message) -> dict[str, int]:
        spec = self._spec
        return message_bytes(
            self._layout.num_chunks, len(message.values), spec.num_float_buffers, spec.num_integer_buffers
        )

    def _send_model(self, clients: Iterable[int], ledger: Ledger) -> dict[int, Handle]:
        """Bills each client what it must be sent; encodes once for all clients that know the same round."""
        chunking = self._settings.chunking
        with_shares = chunking.chunking and chunking.chunk_reconstruction == "own_weights"
        encoded: dict[int, tuple[Handle, dict[str, int]]] = {}
        downlinks: dict[int, Handle] = {}
        for client in clients:
            known = self._members[client].known_round
            if known not in encoded:
                payload, sizes = self._model.message_since(known, with_shares=with_shares)
                encoded[known] = self._group.put(payload), sizes
            downlinks[client], sizes = encoded[known]
            ledger.bill(COORDINATOR, client, sizes)
        return downlinks

    def _is_evaluated(self, round_index: int) -> bool:
        settings = self._settings.federation
        return round_index % settings.evaluation_interval == 0 or round_index == settings.federated_learning_rounds

    def _evaluate(self, round_index: int) -> EvaluationSums:
        """The coordinator's model on the whole test set, in parts; sums are added in the parts' order."""
        model = self._group.put(self._model.state)
        calls = [Call(i, "evaluate", (model, part)) for i, part in enumerate(self._test_parts)]
        ended = {s.key: s for s in run_calls(self._group, calls, self._settings.runtime.max_attempts)}
        reasons = {s.key: f"evaluation: {s.reason}" for s in ended.values() if s.answer is None}
        if reasons:
            raise RoundFailed(round_index, len(ended) - len(reasons), len(ended), reasons)
        parts = [answer.values[0] for key in sorted(ended) if (answer := ended[key].answer)]
        return sum(parts, start=EvaluationSums(0, 0.0, 0))

    def _evaluate_clients(self, this: _Round) -> dict[int, EvaluationSums]:
        """Has the clients that counted reconstruct now, instead of at their next round, and measures their models.

        What they are sent for it is billed to this round; they are not sent it again.
        """
        downlinks = self._send_model(this.counted, this.ledger)
        calls = [
            Call(c, "evaluate_client", (TrainOrder(this.round_index, c), downlinks[c], self._members[c].state), 1, 1)
            for c in this.counted
        ]
        scores: dict[int, EvaluationSums] = {}
        for settled in run_calls(self._group, calls, self._settings.runtime.max_attempts):
            if settled.answer is not None:
                scores[settled.key] = settled.answer.values[0]
                self._members[settled.key] = _Member(self._model.round_index, settled.answer.handles[0])
        return scores

    @property
    def _dense_message_bytes(self) -> int:
        """Bytes of one message of full exchange: the whole model as one chunk."""
        spec = self._spec
        return sum(message_bytes(1, spec.num_parameters, spec.num_float_buffers, spec.num_integer_buffers).values())
