"""Measuring the coordinator's model: parts of the test set on whatever actors are free."""

from __future__ import annotations

from actors.calls import run_calls_in_order
from orchestrator.errors import RoundFailed
from orchestrator.messages import EvaluationSums, ModelState
from orchestrator.ports import Call, ClientGroup


def evaluate_model(
    group: ClientGroup, model: ModelState, test_parts: tuple[slice, ...], round_index: int, max_attempts: int
) -> EvaluationSums:
    """Accuracy and loss on the whole test set; sums are added in the parts' order.

    Raises RoundFailed when a part could not be measured.
    """
    shared = group.put(model)
    calls = [Call(i, "evaluate", (shared, part)) for i, part in enumerate(test_parts)]
    total = EvaluationSums(0, 0.0, 0)
    reasons: dict[int, str] = {}
    for settled in run_calls_in_order(group, calls, max_attempts):
        if settled.answer is None:
            reasons[settled.key] = f"evaluation: {settled.reason}"
        else:
            total += settled.answer.values[0]
    if reasons:
        raise RoundFailed(round_index, len(calls) - len(reasons), len(calls), reasons)
    return total
