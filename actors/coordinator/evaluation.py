"""Measuring the coordinator's model: parts of the test set on whatever actors are free."""

from __future__ import annotations

from collections.abc import Callable

from fedchunk.actors.coordinator.calls import run_calls_in_order, same_call
from fedchunk.orchestrator.contract.evaluation import EvaluationSums
from fedchunk.orchestrator.contract.messages import Span
from fedchunk.orchestrator.contract.ports import Call, ClientGroup, Handle, Lost
from fedchunk.orchestrator.core.errors import RoundFailed


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
    reasons: dict[int, str] = {}
    for settled in run_calls_in_order(group, calls, max_attempts, again):
        if settled.answer is None:
            reasons[settled.key] = f"evaluation: {settled.reason}"
        else:
            total += settled.answer.values[0]
            spans.extend(settled.answer.values[1])
    if reasons:
        raise RoundFailed(round_index, len(calls) - len(reasons), len(calls), reasons)
    return total, spans
