"""Rules of scores and of sensitivity: which chunks go, and how many."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from fedchunk.orchestrator.settings.rules.remark import Idle, Remark

if TYPE_CHECKING:
    from fedchunk.orchestrator.settings.sections import ChunkingSettings, Settings

CHUNKING_KEYS = (
    "sensitivity_percentage", "dynamic_sensitivity_percentage", "sensitivity_energy", "sensitivity_policy",
    "sensitivity_threshold", "sensitivity_schedule", "sensitivity_budget_mb", "sensitivity_warmup_rounds",
    "sensitivity_warmup_percentage", "chunking_parts", "chunk_score", "chunking_with_gradients",
    "chunking_random_section", "chunk_age_exponent", "chunk_max_age", "distance_metric", "chunk_reconstruction",
    "stale_copy_step", "downlink_sensitivity_percentage",
    "withheld_share", "chunk_agreement", "agreement_scores", "agreement_interval",
    "chunk_encoding", "chunk_compression",
)  # fmt: skip
"""What nothing reads without chunks; full exchange is always plain float32."""

POLICY_VALUES = {
    "energy": "sensitivity_energy",
    "threshold": "sensitivity_threshold",
    "schedule": "sensitivity_schedule",
    "budget": "sensitivity_budget_mb",
}
"""The setting that belongs to a policy."""

WITHOUT_MEANING = {"random": "random scores", "round_robin": "scores that only take turns"}
"""Scores that say nothing of a chunk's importance."""


def sends_everything(chunking: ChunkingSettings) -> bool:
    """Whether, with chunking on, every client sends every chunk in every round."""
    return (
        chunking.policy == "fixed"
        and chunking.sensitivity_percentage == 100
        and chunking.sensitivity_budget_mb is None
        and (chunking.sensitivity_warmup_rounds == 0 or chunking.sensitivity_warmup_percentage == 100)
    )


def contradictions(settings: Settings) -> Iterator[Remark]:
    """What cannot be meant, or cannot be run."""
    yield from _score_contradictions(settings.chunking)
    if settings.chunking.chunking:
        yield from _policy_contradictions(settings.chunking)


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


def _policy_contradictions(chunking: ChunkingSettings) -> Iterator[Remark]:
    policy = chunking.policy
    if chunking.dynamic_sensitivity_percentage and policy != "energy":
        yield Remark(
            ("sensitivity_policy", "dynamic_sensitivity_percentage"),
            f"got {policy} together with dynamic_sensitivity_percentage: true, which is the policy energy; remove one "
            "of them",
        )
    if policy == "threshold" and chunking.sensitivity_threshold is None:
        yield Remark(
            ("sensitivity_threshold", "sensitivity_policy"),
            "is missing; the policy threshold needs the score from which on a chunk is sent",
        )
    if policy == "schedule" and not chunking.sensitivity_schedule:
        yield Remark(
            ("sensitivity_schedule", "sensitivity_policy"),
            "is missing; the policy schedule needs a percentage for each of the first rounds, such as [50, 20, 5]",
        )
    if policy == "budget" and chunking.sensitivity_budget_mb is None:
        yield Remark(
            ("sensitivity_budget_mb", "sensitivity_policy"),
            "is missing; the policy budget needs what all clients together may send in the whole run, in MB",
        )


def idle(settings: Settings) -> Iterator[Idle]:
    """Settings that nothing reads as things are, with the reason."""
    chunking = settings.chunking
    if not chunking.chunking:
        yield CHUNKING_KEYS, "chunking is false: the whole model is exchanged"
        return
    for policy, key in POLICY_VALUES.items():
        if policy not in (chunking.policy, "budget"):  # a budget caps the other policies too
            yield (key,), f"the policy is {chunking.policy}, not {policy}"
    if chunking.sensitivity_warmup_rounds == 0:
        yield ("sensitivity_warmup_percentage",), "sensitivity_warmup_rounds is 0"


def suspicions(settings: Settings) -> Iterator[Remark]:
    """Values that are rarely meant."""
    chunking = settings.chunking
    if not chunking.chunking:
        return
    yield from _percentage_suspicions(chunking)
    if chunking.policy in ("energy", "threshold", "knee", "utopia") and chunking.score in WITHOUT_MEANING:
        first = "sensitivity_policy" if chunking.sensitivity_policy else "dynamic_sensitivity_percentage"
        yield Remark(
            (first, "chunk_score", "chunking_random_section"),
            f"adapts to {WITHOUT_MEANING[chunking.score]} here, which say nothing of a chunk",
        )
    rounds = settings.federation.federated_learning_rounds
    if chunking.sensitivity_warmup_rounds >= rounds:
        yield Remark(
            ("sensitivity_warmup_rounds", "federated_learning_rounds"),
            f"is {chunking.sensitivity_warmup_rounds} of {rounds} rounds: the policy never counts",
        )


def _percentage_suspicions(chunking: ChunkingSettings) -> Iterator[Remark]:
    percentage = chunking.sensitivity_percentage
    if percentage < 1:
        yield Remark(
            ("sensitivity_percentage",),
            f"is a percentage: {percentage:g} means {percentage:g} % of the chunks; write {100 * percentage:g} "
            f"if you meant {100 * percentage:g} %",
        )
    plain = chunking.chunk_encoding == "float32" and chunking.chunk_compression == "none"
    if sends_everything(chunking) and plain:
        yield Remark(("sensitivity_percentage", "chunking"), "is 100: every chunk is sent and nothing is saved")
