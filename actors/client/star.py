"""The client actor of a star, as a plain class: reconstruct, train, score, select, emit; and evaluate.

A call is about whole groups of clients. Where the order says so, a group's payloads are opened and added here, by
the coordinator's own rules, and only their sum travels.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from fedchunk.actors.client.experiment_data import ExperimentData
from fedchunk.actors.client.group_task import ClientTask, GroupTask, Payload, StateObject
from fedchunk.actors.client.keeping import Keeping
from fedchunk.actors.client.momentum import Momentum
from fedchunk.actors.client.stages import Stage
from fedchunk.actors.client.states import model_of, stack_states
from fedchunk.actors.client.worker import LocalWorker
from fedchunk.actors.payloads.group_sum import GroupSum
from fedchunk.orchestrator.chunking.encoding import Message, decode
from fedchunk.orchestrator.chunking.header import Expected, Origin
from fedchunk.orchestrator.chunking.reconstruction import with_chunks
from fedchunk.orchestrator.chunking.score_message import encode_scores
from fedchunk.orchestrator.contract.evaluation import EvaluationSums, Measured
from fedchunk.orchestrator.contract.messages import (
    COORDINATOR,
    ClientState,
    ClientStates,
    EmitAnswer,
    GroupAnswer,
    GroupOrder,
    GroupResult,
    InitialModel,
    KnownToAll,
    ModelState,
    Span,
)
from fedchunk.orchestrator.contract.reports import ClientReport, ReportRows, percentage
from fedchunk.orchestrator.core.errors import ClientFailed, reason_of
from fedchunk.orchestrator.learning.engines.group_trainer import TrainedGroup
from fedchunk.orchestrator.methods.chooser import Choice
from fedchunk.orchestrator.methods.method import affordable_chunks, all_know_one_model, reconstruct
from fedchunk.orchestrator.methods.outgoing import Outgoing, emit
from fedchunk.orchestrator.methods.scorer import Ages, LocalChange
from fedchunk.orchestrator.settings.joined import Sections

Answer = tuple[GroupAnswer, tuple[Payload, ...], tuple[ClientStates, ...]]


@dataclass(frozen=True)
class Finished:
    """A client that has done its part."""

    report: ClientReport
    sent: Outgoing | Payload
    """Its message, or that of its scores, which is written already."""
    state: ClientState


@dataclass(frozen=True)
class Ready:
    """A client that can train."""

    task: ClientTask
    before: ModelState
    """Its reconstructed model."""
    start: ModelState
    momentum_P: NDArray[np.float32] | None
    """What its momentum starts from; None where it always starts at zero."""


class StarClient:
    """Acts for the clients of a star, with a worker that trains, measures and scores."""

    def __init__(self, settings: Sections, device: str, data: ExperimentData) -> None:
        self._settings = settings
        self._worker = worker = LocalWorker(settings, device, data)
        self._method, self._spans = worker.method, worker.spans
        self._layout = worker.method.layout
        self._momentum = Momentum(settings, worker)
        self._keeping = Keeping(settings, worker, self._momentum)
        self._keeps_models = not all_know_one_model(settings)

    def initial_model(self) -> InitialModel:
        """What everybody starts from."""
        return self._worker.initial_model()

    def device_works(self) -> bool:
        """Whether the device still answers."""
        return self._worker.device_works()

    def evaluate(self, model: ModelState, part: slice) -> tuple[EvaluationSums, tuple[Span, ...]]:
        """Measures a model on a part of the test set."""
        return self._worker.evaluate(model, part)

    def train_group(self, order: GroupOrder, messages: Sequence[Payload] | KnownToAll, *states: StateObject) -> Answer:
        """Some clients' part of a round.

        Args:
            order: which clients, which round.
            messages: the coordinator's, or what they come to.
            states: the objects with the clients' states.

        Returns:
            Reports and, where asked for, sums; the payloads of all that answered, in order, unless they are summed
            (scores instead where the coordinator has yet to choose); and the groups' new states.
        """
        results: list[GroupResult] = []
        payloads: list[Payload] = []
        new_states: list[ClientStates] = []
        for tasks in self._tasks(order, messages, states, order.round_index - 1):
            result, group_payloads, group_states = self._train_tasks(order, tasks)
            results.append(result)
            payloads.extend(group_payloads)
            if group_states is not None:
                new_states.append(group_states)
        return GroupAnswer(tuple(results), self._spans.read_out()), tuple(payloads), tuple(new_states)

    def emit_group(
        self, order: GroupOrder, messages: Sequence[Payload] | KnownToAll, *states: StateObject
    ) -> tuple[EmitAnswer, tuple[Payload, ...], tuple[ClientStates, ...]]:
        """The second half of a round with consensus: sends the chunks that the coordinator's message asks for.

        Returns:
            The residuals' norms, the payloads, and the groups' new states.
        """
        norms: list[tuple[float | None, ...]] = []
        failed: dict[int, str] = {}
        payloads: list[Payload] = []
        new_states: list[ClientStates] = []
        for tasks in self._tasks(order, messages, states, order.round_index):
            emissions: list[Outgoing] = []
            with self._spans.doing("pack", len(tasks)):
                for task in tasks:
                    try:
                        emissions.append(self._emit_told(task))
                    except ClientFailed as error:
                        failed[task.client_id] = reason_of(error)
            norms.append(tuple(emission.residual_norm for emission in emissions))
            payloads.extend(emission.encoded().payload for emission in emissions)
            new_states.append(stack_states([emission.state for emission in emissions]))
        return EmitAnswer(tuple(norms), failed, self._spans.read_out()), tuple(payloads), tuple(new_states)

    def evaluate_group(
        self, order: GroupOrder, messages: Sequence[Payload] | KnownToAll, *states: StateObject
    ) -> tuple[tuple[Mapping[int, Measured], ...], tuple[Span, ...], tuple[ClientStates, ...]]:
        """Reconstructs the clients' models and measures each on the whole test set, and on its own samples.

        Returns:
            The sums of each group's clients, without those that failed, and the clients as they then are.
        """
        sums: list[Mapping[int, Measured]] = []
        new_states: list[ClientStates] = []
        for tasks in self._tasks(order, messages, states, order.round_index):
            measured: dict[int, Measured] = {}
            after: list[ClientState] = []
            with self._spans.doing("evaluate", len(tasks)):
                for task in tasks:
                    assert task.state is not None
                    with suppress(ClientFailed), Stage(task.round_index, task.client_id, "evaluate"):
                        model = self._model_of(task)
                        measured[task.client_id] = self._worker.measured(task.client_id, model, task.state.home)
                        known = self._momentum.with_model(replace(task.state, kept_C=None), model)
                        after.append(self._to_keep(known))
            sums.append(measured)
            new_states.append(stack_states(after))
        return tuple(sums), self._spans.read_out(), tuple(new_states)

    def _tasks(
        self,
        order: GroupOrder,
        messages: Sequence[Payload] | KnownToAll,
        states: Sequence[StateObject],
        told_round: int,
    ) -> Iterator[list[ClientTask]]:
        """The clients of each group, in order; the messages are of ``told_round``."""
        opened = partial(self._opened, Origin(told_round, COORDINATOR, 0))
        groups = GroupTask(order, messages, states, self._layout.num_chunks).groups(opened)
        for clients in order.groups:
            with self._spans.doing("fetch", len(clients)):
                tasks = [self._faded(task) for task in next(groups)]
            yield tasks

    def _faded(self, task: ClientTask) -> ClientTask:
        """The client with what is left of its residual after rounds in which it did not take part."""
        if task.state is None or task.state.withheld_P is None:
            return task
        left_P = self._method.rule.faded(task.state.withheld_P, task.missed)
        if left_P is task.state.withheld_P:
            return task
        return replace(task, state=replace(task.state, withheld_P=left_P))

    def _model_of(self, task: ClientTask) -> ModelState:
        """The client's own model, with all that it was sent."""
        state, layout = task.state, self._layout
        if task.known is None:
            own = model_of(state, layout) if state else self._own_start
            for message in task.messages:
                own = reconstruct(self._worker.start if message.from_first else own, message, layout)
            assert own is not None, "a client that was sent nothing"
            return own
        if task.own_C is None:
            return task.known
        its, kept_C = (state.model, state.kept_C) if state else (self._own_start, None)
        assert its is not None, "a client that knows nothing has no chunks of its own"
        mixed_P = with_chunks(task.known.weights_P, its.weights_P, task.own_C, layout, kept_C)
        return ModelState(mixed_P, task.known.buffers_B, task.known.counters_I)

    def _opened(self, origin: Origin, message: Payload, known_C: NDArray[np.bool_] | None, stands: bool) -> Message:
        spec, own = self._worker.spec, self._method.own_codec
        counts = spec.num_float_buffers, spec.num_integer_buffers
        return decode(message, self._layout, Expected(origin, stands), *counts, known_C, own)

    def _train_tasks(
        self, order: GroupOrder, tasks: list[ClientTask]
    ) -> tuple[GroupResult, list[Payload], ClientStates | None]:
        """Trains a group; what each client has then to send is encoded, and added where the sum is to travel."""
        with self._spans.doing("fetch", len(tasks)):
            ready, failed = self._ready(tasks)
        if not ready:
            return GroupResult(None, failed, {}, {}, None), [], self._keeping.nothing()
        tasks, starts = [one.task for one in ready], [one.start for one in ready]
        momenta = [one.momentum_P for one in ready]
        clock = time.perf_counter()
        clients, homes = [task.client_id for task in tasks], [task.state.home if task.state else None for task in tasks]
        trained = self._worker.train(order.round_index, clients, starts, momenta, homes)
        train_s = (time.perf_counter() - clock) / len(tasks)
        with self._spans.doing("score", len(tasks)):
            withheld = [task.state.withheld_P if task.state else None for task in tasks]
            changes = self._worker.changes(starts, trained, withheld, reuse=len(order.groups) == 1)
        worker = self._worker
        total = GroupSum(self._layout, worker.spec, worker.verifier, worker.weight) if order.summed else None
        reports: list[ClientReport] = []
        states: list[ClientState] = []
        sent: list[tuple[int, Outgoing | Payload]] = []
        with self._spans.doing("pack", len(tasks)):
            for row, task in enumerate(tasks):
                try:
                    one = self._finish(task, ready[row].before, changes[row], trained, row, train_s)
                except ClientFailed as error:
                    failed[task.client_id] = reason_of(error)
                    continue
                states.append(self._momentum.to_follow_up(one.state, ready[row].momentum_P, ready[row].before))
                reports.append(one.report)
                sent.append((task.client_id, one.sent if total and _is_known(one.sent) else _written(one.sent)))
        if total is not None:
            with self._spans.doing("aggregate", len(tasks)):
                new = frozenset(task.client_id for task in tasks if not task.stands)
                total.add(order.round_index, sent, most_a_unit=order.most_a_unit, newcomers=new)
        sent_C = total.sent_C if total else None
        kept = self._keeping.of(states, trained, sent_C, whole=not failed, alone=len(order.groups) == 1)
        rows = ReportRows.of(reports) if reports else None
        if total is None:
            payloads = [_written(its) for _, its in sent]
            return GroupResult(rows, failed, {}, {}, None), payloads, kept
        return GroupResult(rows, failed, total.rejected, total.sizes, total.partial(), total.largest), [], kept

    def _ready(self, tasks: list[ClientTask]) -> tuple[list[Ready], dict[int, str]]:
        """The clients that can train, and why others cannot; one object for all that are sent the whole of a model."""
        ready: list[Ready] = []
        failed: dict[int, str] = {}
        for task in tasks:
            try:
                with Stage(task.round_index, task.client_id, "reconstruct"):
                    model = self._model_of(task)
                    same = [one.before for one in ready if one.before.weights_P is model.weights_P]
                    before = same[0] if same and model.buffers_B is same[0].buffers_B else model
                    since = task.client_id, task.round_index, 1 + task.missed
                    momentum_P = self._momentum.of(*since, task.state, before)
                    ready.append(Ready(task, before, self._start_of(task, before), momentum_P))
            except ClientFailed as error:
                failed[task.client_id] = reason_of(error)
        return ready, failed

    def _start_of(self, task: ClientTask, before: ModelState) -> ModelState:
        """Where the client's training begins."""
        withheld_P = task.state.withheld_P if task.state else None
        start_P = self._method.rule.start(before.weights_P, withheld_P)
        return before if start_P is before.weights_P else replace(before, weights_P=start_P)

    def _finish(
        self,
        task: ClientTask,
        before: ModelState,
        change: LocalChange,
        trained: TrainedGroup,
        row: int,
        train_s: float,
    ) -> Finished:
        """All that follows training: score, select, emit. Raises ClientFailed."""
        if row in trained.failures:
            raise ClientFailed(task.client_id, task.round_index, "train", trained.failures[row])
        state = task.state
        with Stage(task.round_index, task.client_id, "select"):
            last_sent_C = state.last_sent_C if state else np.zeros(self._layout.num_chunks, np.int32)
            ages = self._worker.ages(task.round_index, task.client_id, last_sent_C)
            scores_C = self._worker.scored(change, ages)
            choice = self._choice(task, scores_C, ages)
        with Stage(task.round_index, task.client_id, "emit"):
            after = ModelState(trained.weights_GP[row], trained.buffers_GB[row], trained.counters_GI[row])
            if self._method.rule.keeps_residual:
                after = ModelState(before.weights_P, after.buffers_B, after.counters_I)
            home = trained.home_of(row)
            pending = ClientState(after, last_sent_C, change.withheld_P, task.choice_C, home=home)
            new_state, residual_norm = pending, None
            if choice is None:
                sent: Outgoing | Payload = self._scores_message(task, scores_C)
            else:
                sent = self._emit(task, pending, choice.selected_C, change.withheld_C)
                new_state, residual_norm = self._to_keep(sent.state), sent.residual_norm
        selected_C = choice.selected_C if choice else np.zeros(self._layout.num_chunks, np.bool_)
        report = ClientReport(
            round_index=task.round_index,
            client_id=task.client_id,
            num_samples=self._worker.num_samples(task.client_id),
            train_loss=float(trained.train_loss_G[row]),
            chunks_sent=int(np.count_nonzero(selected_C)),
            sensitivity_percentage=percentage(selected_C),
            sensitivity_reason=choice.reason if choice else "",
            residual_norm=residual_norm,
            scores_C=scores_C,
            distances_C=change.distances_C,
            selected_C=selected_C,
            age_C=ages.ages_C,
            train_s=train_s,
            training=trained.reason,
        )
        return Finished(report, sent, new_state)

    def _to_keep(self, state: ClientState) -> ClientState:
        return state if self._keeps_models else replace(state, model=None)

    def _emit(
        self,
        task: ClientTask,
        pending: ClientState,
        selected_C: NDArray[np.bool_],
        squares_C: NDArray[np.float64] | None = None,
    ) -> Outgoing:
        whose = task.round_index, task.client_id, self._worker.num_samples(task.client_id)
        how = {"stands": task.stands, "with_mask": not self._settings.chunking.agrees}
        return emit(self._method, *whose, pending, selected_C, squares_C=squares_C, **how)

    def _emit_told(self, task: ClientTask) -> Outgoing:
        """Sends the chunks that the message asks for."""
        choice_C, state = task.choice_C, task.state
        assert state is not None
        assert choice_C is not None, "the coordinator's choice did not come"
        own_P = None if state.withheld_P is None else state.withheld_P.copy()  # what came is not to be written over
        with Stage(task.round_index, task.client_id, "emit"):
            return self._emit(task, replace(state, withheld_P=own_P, choice_C=choice_C), choice_C)

    def _choice(self, task: ClientTask, scores_C: NDArray[np.float32], ages: Ages) -> Choice | None:
        """The client's own choice, the coordinator's, or None where it has yet to choose."""
        if task.choice_C is not None:
            return Choice(task.choice_C, "agreed")
        if self._settings.chunking.agrees:
            return None
        affordable = affordable_chunks(
            self._method.packing.codec,
            self._layout,
            self._worker.spec.num_float_buffers,
            self._worker.spec.num_integer_buffers,
            task.affordable_bytes,
        )
        return self._worker.chosen(scores_C, ages, affordable)

    def _scores_message(self, task: ClientTask, scores_C: NDArray[np.float32]) -> Payload:
        encoding = self._settings.chunking.agreement_scores
        assert encoding != "none", "without scores the coordinator chooses before training"
        payload, _ = encode_scores(
            self._layout,
            scores_C,
            encoding,
            round_index=task.round_index,
            sender=task.client_id,
            num_samples=self._worker.num_samples(task.client_id),
            stands=task.stands,
        )
        return payload

    @property
    def _own_start(self) -> ModelState | None:
        """What a client that never took part has by itself."""
        return self._worker.start if self._settings.federation.clients_have_first_model else None


def _is_known(sent: Outgoing | Payload) -> bool:
    """Whether it is known, without writing it, what a receiver makes of it."""
    return isinstance(sent, Outgoing) and sent.draft.is_transparent


def _written(sent: Outgoing | Payload) -> Payload:
    return sent.encoded().payload if isinstance(sent, Outgoing) else sent
