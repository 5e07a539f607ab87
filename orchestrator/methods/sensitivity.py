"""How many chunks a client sends, and why: the settings' warm-up, policy, age floor and budget together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from fedchunk.orchestrator.chunking import sensitivity
from fedchunk.orchestrator.settings.sections import ChunkingSettings
from numpy.typing import NDArray


@dataclass(frozen=True)
class Count:
    """K, and what made it so: the rule, and the limit that changed what the rule asked for, if one did."""

    chunks: int
    reason: str


def decide(
    settings: ChunkingSettings,
    scores_C: NDArray[np.float32],
    *,
    round_index: int,
    overdue: int,
    affordable: int | None,
) -> Count:
    """K for one client and round: warm-up or policy, ceiling, age floor, budget.

    A warm-up round sends ``sensitivity_warmup_percentage``, whatever the policy. After it the policy asks for a count,
    of which at most ``sensitivity_percentage`` goes. Overdue chunks go even above that ceiling; nothing goes above what
    the bytes allow, overdue or not. K is 0 where the budget has room for none, where no score reaches the threshold,
    and where a policy that reads scores finds them all 0: nothing is worth sending.

    Args:
        settings: the rules; with ``chunking: false`` everything goes.
        scores_C: the scores that the choice will be made by.
        round_index: the round, from 1.
        overdue: chunks that have waited ``chunk_max_age`` rounds.
        affordable: the most chunks that this message's share of the budget allows; None without a budget.

    Example:
        >>> settings = ChunkingSettings(chunking=True, sensitivity_policy="energy", sensitivity_percentage=50)
        >>> scores = np.array([3, 4, 0, 0], np.float32)
        >>> decide(settings, scores, round_index=1, overdue=0, affordable=None)
        Count(chunks=2, reason='energy 0.95')
        >>> decide(settings, scores, round_index=1, overdue=3, affordable=None)
        Count(chunks=3, reason='energy 0.95, age')
    """
    num_chunks = len(scores_C)
    if not settings.chunking:
        return Count(num_chunks, "chunking off")
    limit = ""
    if round_index <= settings.sensitivity_warmup_rounds:
        chunks, rule = sensitivity.fixed(num_chunks, settings.sensitivity_warmup_percentage), "warm-up"
    else:
        chunks, rule = _by_policy(settings, scores_C, round_index)
        ceiling = sensitivity.fixed(num_chunks, settings.sensitivity_percentage)
        if chunks > ceiling:
            chunks, limit = ceiling, "ceiling"
    if overdue > chunks:
        chunks, limit = overdue, "age"
    if affordable is not None and chunks > affordable:
        chunks, limit = affordable, "budget"
    return Count(chunks, f"{rule}, {limit}" if limit not in ("", rule) else rule)


def _by_policy(settings: ChunkingSettings, scores_C: NDArray[np.float32], round_index: int) -> tuple[int, str]:
    """What the policy asks for, and its name with its number."""
    num_chunks = len(scores_C)
    match settings.policy:
        case "fixed":
            percentage = settings.sensitivity_percentage
            return sensitivity.fixed(num_chunks, percentage), f"fixed {percentage:g}"
        case "schedule":
            percentage = sensitivity.schedule(settings.sensitivity_schedule, round_index)
            return sensitivity.fixed(num_chunks, percentage), f"schedule {percentage:g}"
        case "budget":
            return num_chunks, "budget"
        case "threshold":
            value = settings.sensitivity_threshold
            assert value is not None, "the settings' rules let policy threshold pass without sensitivity_threshold"
            return sensitivity.threshold(scores_C, value), f"threshold {value:g}"
        case "energy" | "knee" | "utopia" as name:
            if not scores_C.any():
                return 0, f"{name}, all scores 0"
            return _by_spread(settings, scores_C)


def _by_spread(settings: ChunkingSettings, scores_C: NDArray[np.float32]) -> tuple[int, str]:
    """What the policies ask for that look at how the scores are spread."""
    num_chunks = len(scores_C)
    if settings.policy == "knee":
        knee = sensitivity.knee(scores_C)
        return (num_chunks, "knee, flat") if knee is None else (knee, "knee")
    if settings.policy == "utopia":
        return sensitivity.utopia(scores_C), "utopia"
    share = settings.sensitivity_energy
    return sensitivity.energy(scores_C, share, num_chunks), f"energy {share:g}"
