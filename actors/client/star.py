"""The client actor of a star, as a plain class: reconstruct, train, score, select, emit; and evaluate.

A call is about whole groups of clients. Where the order says so, a group's payloads are opened and added here, by
the coordinator's own rules, and only their sum travels.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from fedchunk.actors.client.stages import stage
from fedchunk.actors.client.states import stack_states, with_trained
from fedchunk.actors.client.worker import LocalWorker
from fedchunk.actors.payloads.group_sum import GroupSum
from fedchunk.orchestrator.chunking.encoding import Message, decode
from fedchunk.orchestrator.chunking.score_message import encode_scores
from fedchunk.orchestrator.contract.messages import (
    COORDINATOR,
    ClientState,
    ClientStates,
    EmitAnswer,
    EvaluationSums,
    GroupAnswer,
    GroupOrder,
    GroupResult,
    ModelState,
    Span,
)
from fedchunk.orchestrator.contract.reports import ClientReport, ReportRows
from fedchunk.orchestrator.core.errors import ClientFailed, reason_of
from fedchunk.orchestrator.learning.engines.group_trainer import TrainedGroup
from fedchunk.orchestrator.methods.exchange import (
    Ages,
    Choice,
    LocalChange,
    affordable_chunks,
    choose,
    client_weight,
    keeps_states,
    reconstruct,
    starting_weights,
)
from fedchunk.orchestrator.methods.exchange_rules.outgoing import Outgoing, emit
from numpy.typing import NDArray

Payload = NDArray[np.uint8]
Answer = tuple[GroupAnswer, tuple[Payload, ...], tuple[ClientStates, ...]]


@dataclass(frozen=True)
class ClientTask:
    """A client whose turn it is."""

    round_index: int
    client_id: int
    state: ClientState | None
    message: Message
    affordable_bytes: int | None


@dataclass(frozen=True)
class Finished:
    """A client that has done its part."""

    report: ClientReport
    payload: Payload
    state: ClientState


class Client(LocalWorker):
    """Acts for the clients of a star."""

    def train_group(self, order: GroupOrder, *arguments: Any) -> Answer:
        """Some clients' part of a round.

        Args:
            order: which clients, which round.
            arguments: the coordinator's messages, then the objects with the clients' states.

        Returns:
            Reports and, where asked for, sums; the payloads of all that answered, in order, unless they are summed
            (scores instead where the coordinator has yet to choose); and the groups' new states.
        """
        results: list[GroupResult] = []
        payloads: list[Payload] = []
        states: list[ClientStates] = []
        for visits in self._tasks(order, arguments):
            result, group_payloads, group_states = self._train_tasks(order, visits)
            results.append(result)
            payloads.extend(group_payloads)
            if group_states is not None:
                states.append(group_states)
        return GroupAnswer(tuple(results), self._diary.read_out()), tuple(payloads), tuple(states)

    def emit_group(
        self, order: GroupOrder, *arguments: Any
    ) -> tuple[EmitAnswer, tuple[Payload, ...], tuple[ClientStates, ...]]:
        """The second half of a round with consensus: sends the chunks that the coordinator's message asks for.

        Returns:
            The residuals' norms, the payloads, and the groups' new states.
        """
        norms: list[tuple[float | None, ...]] = []
        payloads: list[Payload] = []
        states: list[ClientStates] = []
        for visits in self._tasks(order, arguments):
            with self._diary.doing("pack", len(visits)):
                emissions = [self._emit_told(visit) for visit in visits]
            norms.append(tuple(emission.residual_norm for emission in emissions))
            payloads.extend(emission.encoded.payload for emission in emissions)
            states.append(stack_states([emission.state for emission in emissions]))
        return EmitAnswer(tuple(norms), self._diary.read_out()), tuple(payloads), tuple(states)

    def evaluate_group(
        self, order: GroupOrder, *arguments: Any
    ) -> tuple[tuple[tuple[EvaluationSums, ...], ...], tuple[Span, ...], tuple[ClientStates, ...]]:
        """Reconstructs the clients' models and measures each on the whole test set; the clients as they then are."""
        sums: list[tuple[EvaluationSums, ...]] = []
        states: list[ClientStates] = []
        for visits in self._tasks(order, arguments):
            measured, after = [], []
            with self._diary.doing("evaluate", len(visits)):
                for visit in visits:
                    assert visit.state is not None
                    with stage(visit.round_index, visit.client_id, "evaluate"):
                        model = reconstruct(visit.state.model, visit.message, self._layout)
                        measured.append(self._evaluate_whole(model))
                    after.append(replace(visit.state, model=model))
            sums.append(tuple(measured))
            states.append(stack_states(after))
        return tuple(sums), self._diary.read_out(), tuple(states)

    def _tasks(self, order: GroupOrder, arguments: Sequence[Any]) -> Iterator[list[ClientTask]]:
        """The clients of each group with what they remember and what they are told; equal messages are opened once."""
        opened: dict[tuple[int, bytes | None], Message] = {}
        number = 0
        for clients in order.groups:
            visits = []
            with self._diary.doing("fetch", len(clients)):
                for client in clients:
                    at, state = order.messages[number], self._state(order, number, arguments)
                    known_C = state.choice_C if state else None
                    key = at, None if known_C is None else known_C.tobytes()
                    if key not in opened:
                        opened[key] = self._opened(arguments[0][at], known_C)
                    visits.append(ClientTask(order.round_index, client, state, opened[key], order.affordable_bytes))
                    number += 1
            yield visits

    def _state(self, order: GroupOrder, number: int, arguments: Sequence[Any]) -> ClientState | None:
        """What the client remembers; where clients keep nothing, when it last sent everything."""
        if order.states:
            place = order.states[number]
            state: ClientState | None = arguments[place.argument][place.group].row(place.row) if place else None
            return state
        last_round = order.last_rounds[number]
        return ClientState(None, np.full(self._layout.num_chunks, last_round, np.int32)) if last_round else None

    def _opened(self, message: Payload, known_C: NDArray[np.bool_] | None) -> Message:
        spec = self._model.spec
        opened = decode(message, self._layout, spec.num_float_buffers, spec.num_integer_buffers, known_C)
        assert opened.sender == COORDINATOR
        return opened

    def _train_tasks(
        self, order: GroupOrder, visits: list[ClientTask]
    ) -> tuple[GroupResult, list[Payload], ClientStates | None]:
        """Trains a group; what each client has then to send is encoded, and added where the sum is to travel."""
        with self._diary.doing("fetch", len(visits)):
            befores = self._reconstructed_models(visits)
            starts = [self._start_of(visit, before) for visit, before in zip(visits, befores, strict=True)]
        clock = time.perf_counter()
        trained = self._train(order.round_index, [visit.client_id for visit in visits], starts)
        train_s = (time.perf_counter() - clock) / len(visits)
        with self._diary.doing("score", len(visits)):
            withheld = [visit.state.withheld_P if visit.state else None for visit in visits]
            changes = self._changes(starts, trained, withheld)
        total = GroupSum(self._layout, self._model.spec, self._intake, self._weight) if order.summed else None
        done: list[Finished] = []
        payloads: list[Payload] = []
        failed: dict[int, str] = {}
        turns = self._diary.turns("pack", "aggregate", clients=len(visits))
        for row, visit in enumerate(visits):
            turns.now("pack")
            try:
                one = self._finish(visit, befores[row], changes[row], trained, row, train_s)
            except ClientFailed as error:
                failed[visit.client_id] = reason_of(error)
                continue
            done.append(one)
            if total is None:
                payloads.append(one.payload)
            else:  # at once, while the payload is in the processor's cache
                turns.now("aggregate")
                total.add(order.round_index, [(visit.client_id, one.payload)])
        turns.end()
        kept = self._kept([one.state for one in done], trained, whole=not failed, alone=len(order.groups) == 1)
        reports = ReportRows.of([one.report for one in done]) if done else None
        if total is None:
            return GroupResult(reports, failed, {}, {}, None), payloads, kept
        return GroupResult(reports, failed, total.rejected, total.sizes, total.partial()), [], kept

    def _kept(
        self, states: Sequence[ClientState], trained: TrainedGroup, *, whole: bool, alone: bool
    ) -> ClientStates | None:
        """What the clients of a group remember, as one object; None where they remember nothing.

        ``whole``: all of the group were trained; ``alone``: it is the only group of the call.
        """
        if not self._keeps_states:
            return None
        if self._settings.chunking.feeds_back or not whole:
            return stack_states(states)
        if not alone:
            self._trainer.release_buffers()  # the next group must not write over what is yet to be sent
        return with_trained(states, trained)

    def _reconstructed_models(self, visits: list[ClientTask]) -> list[ModelState]:
        """Each client's reconstructed model; one object for all that are sent the whole of it."""
        models: list[ModelState] = []
        for visit in visits:
            with stage(visit.round_index, visit.client_id, "reconstruct"):
                own = visit.state.model if visit.state else self._own_start
                model = reconstruct(own, visit.message, self._layout)
            same = [other for other in models if other.weights_P is model.weights_P]
            models.append(same[0] if same and model.buffers_B is same[0].buffers_B else model)
        return models

    def _start_of(self, visit: ClientTask, before: ModelState) -> ModelState:
        """Where the client's training begins."""
        withheld_P = visit.state.withheld_P if visit.state else None
        start_P = starting_weights(self._settings.chunking, before.weights_P, withheld_P)
        return before if start_P is before.weights_P else replace(before, weights_P=start_P)

    def _finish(
        self,
        visit: ClientTask,
        before: ModelState,
        change: LocalChange,
        trained: TrainedGroup,
        row: int,
        train_s: float,
    ) -> Finished:
        """All that follows training: score, select, emit. Raises ClientFailed."""
        if row in trained.failures:
            raise ClientFailed(visit.client_id, visit.round_index, "train", trained.failures[row])
        chunking, state = self._settings.chunking, visit.state
        with stage(visit.round_index, visit.client_id, "select"):
            last_sent_C = state.last_sent_C if state else np.zeros(self._layout.num_chunks, np.int32)
            ages = self._ages(visit.round_index, visit.client_id, last_sent_C)
            scores_C, distances_C = self._scored(visit.client_id, change, ages)
            choice = self._choice(visit, scores_C, ages)
        with stage(visit.round_index, visit.client_id, "emit"):
            after = ModelState(trained.weights_GP[row], trained.buffers_GB[row], trained.counters_GI[row])
            model = replace(after, weights_P=before.weights_P) if chunking.feeds_back else after
            pending = ClientState(model, last_sent_C, change.withheld_P, visit.message.choice_C)
            residual_norm = None
            if choice is None:
                payload, new_state = self._scores_message(visit, scores_C), pending
            else:
                emission = self._emit(visit, pending, choice.selected_C)
                payload, new_state = emission.encoded.payload, emission.state
                residual_norm = emission.residual_norm
        selected_C = choice.selected_C if choice else np.zeros(self._layout.num_chunks, np.bool_)
        report = ClientReport(
            round_index=visit.round_index,
            client_id=visit.client_id,
            num_samples=self._num_samples(visit.client_id),
            train_loss=float(trained.train_loss_G[row]),
            chunks_sent=int(selected_C.sum()),
            sensitivity_percentage=100.0 * float(selected_C.mean()),
            sensitivity_reason=choice.reason if choice else "",
            residual_norm=residual_norm,
            scores_C=scores_C,
            distances_C=distances_C,
            selected_C=selected_C,
            age_C=ages.ages_C,
            train_s=train_s,
            training=trained.reason,
        )
        return Finished(report, payload, new_state)

    def _emit(self, visit: ClientTask, pending: ClientState, selected_C: NDArray[np.bool_]) -> Outgoing:
        num_samples = self._num_samples(visit.client_id)
        return emit(
            self._settings.chunking, self._layout, visit.round_index, visit.client_id, num_samples, pending, selected_C
        )

    def _emit_told(self, visit: ClientTask) -> Outgoing:
        """Sends the chunks that the message asks for."""
        choice_C = visit.message.choice_C
        assert visit.state is not None
        assert choice_C is not None, "the coordinator's choice did not come"
        with stage(visit.round_index, visit.client_id, "emit"):
            return self._emit(visit, replace(visit.state, choice_C=choice_C), choice_C)

    def _choice(self, visit: ClientTask, scores_C: NDArray[np.float32], ages: Ages) -> Choice | None:
        """The client's own choice, the coordinator's, or None where it has yet to choose."""
        if visit.message.choice_C is not None:
            return Choice(visit.message.choice_C, "agreed")
        if self._settings.chunking.agrees:
            return None
        affordable = affordable_chunks(
            self._settings.chunking,
            self._layout,
            self._model.spec.num_float_buffers,
            self._model.spec.num_integer_buffers,
            visit.affordable_bytes,
        )
        return choose(self._settings.chunking, scores_C, ages, affordable)

    def _scores_message(self, visit: ClientTask, scores_C: NDArray[np.float32]) -> Payload:
        encoding = self._settings.chunking.agreement_scores
        assert encoding != "none", "without scores the coordinator chooses before training"
        payload, _ = encode_scores(
            self._layout,
            scores_C,
            encoding,
            round_index=visit.round_index,
            sender=visit.client_id,
            num_samples=self._num_samples(visit.client_id),
        )
        return payload

    def _weight(self, client: int) -> float:
        """The client's weight in the mean."""
        return client_weight(self._settings.federation, self._num_samples(client))

    @property
    def _own_start(self) -> ModelState | None:
        """What a client that never took part has by itself."""
        return self._start if self._settings.federation.initial_model == "seed" else None

    @property
    def _keeps_states(self) -> bool:
        return keeps_states(self._settings.chunking, self._settings.federation)
