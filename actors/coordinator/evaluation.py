"""Measuring the coordinator's model: parts of the test set on whatever actors are free."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fedchunk.actors.coordinator.calls import run_calls_in_order, same_call
from fedchunk.actors.coordinator.places import Placed
from fedchunk.orchestrator.contract.evaluation import EvaluationSums, Measured
from fedchunk.orchestrator.contract.messages import Span
from fedchunk.orchestrator.contract.ports import Call, ClientGroup, Handle, Lost
from fedchunk.orchestrator.core.errors import RoundFailed

CLIENTS_A_CALL = 32
"""So many clients are measured by one call: their own samples are few."""


@dataclass(frozen=True)
class Evaluated:
    """What was measured in a round."""

    scores: EvaluationSums | None = None
    """Of the coordinator's model, on the whole test set."""
    clients: Mapping[int, EvaluationSums] = field(default_factory=dict)
    """Of clients' own models, on the whole test set."""
    own: Mapping[int, EvaluationSums] = field(default_factory=dict)
    """Of the same, each on its client's own samples that are kept for it."""

    @classmethod
    def of(cls, scores: EvaluationSums | None, measured: Mapping[int, Measured]) -> Evaluated:
        """``measured`` are clients' own models."""
        whole = {client: one.whole for client, one in measured.items()}
        return cls(scores, whole, {client: one.own for client, one in measured.items() if one.own is not None})


def evaluate_model(
    group: ClientGroup,
    model: Handle,
    test_parts: tuple[slice, ...],
    round_index: int,
    max_attempts: int,
    again: Callable[[Lost], Call] = same_call,
) -> tuple[EvaluationSums, list[Span]]:
    """Accuracy and loss on the whole test set, sums added in the parts' order; and what the actors did for it.

    ``model`` is a handle to a :class:`ModelState`, and ``again`` builds the call that repeats a lost one. Raises
    RoundFailed when a part could not be measured.
    """
    calls = [Call(i, "evaluate", (model, part), 2) for i, part in enumerate(test_parts)]
    total = EvaluationSums(0, 0.0, 0)
    spans: list[Span] = []
    for sums, done in _answers(group, calls, round_index, max_attempts, again):
        total += sums
        spans.extend(done)
    return total, spans


def evaluate_own(
    group: ClientGroup,
    model: Handle,
    clients: Sequence[int],
    round_index: int,
    max_attempts: int,
    again: Callable[[Lost], Call] = same_call,
) -> tuple[dict[int, EvaluationSums], list[Span]]:
    """A model that clients share on each one's own samples, and what the actors did for it.

    Raises RoundFailed when a client could not be measured.
    """
    own: dict[int, EvaluationSums] = {}
    spans: list[Span] = []
    parts = [tuple(clients[start : start + CLIENTS_A_CALL]) for start in range(0, len(clients), CLIENTS_A_CALL)]
    calls = [Call(i, "evaluate_own", (model, part), 2, clients=len(part)) for i, part in enumerate(parts)]
    for sums, done in _answers(group, calls, round_index, max_attempts, again):
        own |= sums
        spans.extend(done)
    return own, spans


def evaluate_peers(
    group: ClientGroup,
    model: Handle,
    states: Mapping[int, Placed],
    round_index: int,
    max_attempts: int,
    again: Callable[[Lost], Call] = same_call,
) -> tuple[dict[int, Measured], list[Span]]:
    """A model that clients share, with what stays with each of them, and what the actors did for it.

    ``states`` is where what they remember lies. Raises RoundFailed when one could not be measured.
    """
    calls = [
        Call(
            client, "evaluate_peer", (client, model, state.handle, state.group, state.row), 2, whose=f"client {client}"
        )
        for client, state in states.items()
    ]
    answers = _answers(group, calls, round_index, max_attempts, again)
    measured = {call.key: answer[0] for call, answer in zip(calls, answers, strict=True)}
    return measured, [span for _, spans in answers for span in spans]


def _answers(
    group: ClientGroup, calls: Sequence[Call], round_index: int, max_attempts: int, again: Callable[[Lost], Call]
) -> list[tuple[Any, ...]]:
    """What all the calls gave, in order."""
    answers: list[tuple[Any, ...]] = []
    reasons: dict[int, str] = {}
    for settled in run_calls_in_order(group, calls, max_attempts, again):
        if settled.answer is None:
            reasons[settled.key] = f"evaluation: {settled.reason}"
        else:
            answers.append(settled.answer.values)
    if reasons:
        raise RoundFailed(round_index, len(answers), len(calls), reasons)
    return answers
