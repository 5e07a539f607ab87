"""Rules of scores and of sensitivity: which chunks go, and how many."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from fedchunk.orchestrator.settings.rules.remark import Idle, Remark

if TYPE_CHECKING:
    from fedchunk.orchestrator.settings.joined import Sections
    from fedchunk.orchestrator.settings.sections import ChunkingSettings

POLICY_NEEDS = {
    "sensitivity_threshold": "the score from which on a chunk is sent",
    "sensitivity_schedule": "a percentage for each of the first rounds, such as [50, 20, 5]",
}
"""Settings without a default that a policy may ask for, and what they are."""

THIS_ROUND = frozenset(
    {"gradient_P", "gradient_C", "change_P", "change_C", "before_P", "before_C", "after_P", "after_C", "distances_C"}
)
"""What a score may ask for that says something of a chunk, in this round."""
SINCE_SENT = frozenset({"withheld_P", "withheld_C"})
"""The same since the chunk was last sent."""


def sees_this_round_only(settings: Sections) -> bool:
    """Whether scores say something of what happened to a chunk in this round, and nothing of what was not sent yet."""
    asks = set(settings.signature("score").names)
    return bool(asks & THIS_ROUND) and not asks & SINCE_SENT


def contradictions(settings: Sections) -> Iterator[Remark]:
    """What cannot be meant, or cannot be run."""
    yield from _score_contradictions(settings.chunking)
    if settings.chunking.chunking:
        yield from _policy_contradictions(settings)


def _score_contradictions(chunking: ChunkingSettings) -> Iterator[Remark]:
    if chunking.chunking_random_section and chunking.chunk_score not in (None, "random"):
        yield Remark(
            ("chunk_score", "chunking_random_section"),
            f"got {chunking.chunk_score} together with chunking_random_section: true, which chooses at random; "
            "remove one of them",
        )
    if not chunking.chunking_with_gradients and chunking.chunk_score == "gradient":
        yield Remark(
            ("chunk_score", "chunking_with_gradients"),
            "got gradient together with chunking_with_gradients: false; remove one of them",
        )


def _policy_contradictions(settings: Sections) -> Iterator[Remark]:
    chunking = settings.chunking
    policy = chunking.policy
    if chunking.dynamic_sensitivity_percentage and policy != "energy":
        yield Remark(
            ("sensitivity_policy", "dynamic_sensitivity_percentage"),
            f"got {policy} together with dynamic_sensitivity_percentage: true, which is the policy energy; remove one "
            "of them",
        )
    asks = settings.signature("policy").names
    for key, what in POLICY_NEEDS.items():
        if key in asks and not getattr(chunking, key):
            yield Remark((key, "sensitivity_policy"), f"is missing; the policy {policy} needs {what}")
    if policy == "budget" and chunking.sensitivity_budget_mb is None:
        yield Remark(
            ("sensitivity_budget_mb", "sensitivity_policy"),
            "is missing; the policy budget needs what all clients together may send in the whole run, in MB",
        )


def idle(settings: Sections) -> Iterator[Idle]:
    """Settings that nothing reads as things are, with the reason."""
    chunking = settings.chunking
    if not chunking.chunking:
        yield (
            tuple(key for key in type(chunking).model_fields if key != "chunking"),
            "chunking is false: the whole model is exchanged",
        )
        return
    for key in settings.unread("policy"):
        if key != "sensitivity_percentage":  # which is the ceiling of every policy
            yield (key,), f"the policy is {chunking.policy}, which does not ask for it"
    if chunking.sensitivity_warmup_rounds == 0:
        yield ("sensitivity_warmup_percentage",), "sensitivity_warmup_rounds is 0"


def suspicions(settings: Sections) -> Iterator[Remark]:
    """Values that are rarely meant."""
    chunking = settings.chunking
    if not chunking.chunking:
        return
    yield from _percentage_suspicions(settings)
    says_nothing = not set(settings.signature("score").names) & (THIS_ROUND | SINCE_SENT)
    if says_nothing and "scores_C" in settings.signature("policy").names:
        first = "sensitivity_policy" if chunking.sensitivity_policy else "dynamic_sensitivity_percentage"
        yield Remark(
            (first, "chunk_score", "chunking_random_section"),
            f"adapts to scores of {chunking.score} here, which say nothing of a chunk",
        )
    rounds = settings.federation.federated_learning_rounds
    if chunking.sensitivity_warmup_rounds >= rounds:
        yield Remark(
            ("sensitivity_warmup_rounds", "federated_learning_rounds"),
            f"is {chunking.sensitivity_warmup_rounds} of {rounds} rounds: the policy never counts",
        )


def _percentage_suspicions(settings: Sections) -> Iterator[Remark]:
    chunking = settings.chunking
    percentage = chunking.sensitivity_percentage
    if percentage < 1:
        yield Remark(
            ("sensitivity_percentage",),
            f"is a percentage: {percentage:g} means {percentage:g} % of the chunks; write {100 * percentage:g} "
            f"if you meant {100 * percentage:g} %",
        )
    plain = chunking.chunk_encoding == "float32" and chunking.chunk_compression == "none"
    if settings.sends_everything and plain:
        yield Remark(("sensitivity_percentage", "chunking"), "is 100: every chunk is sent and nothing is saved")
