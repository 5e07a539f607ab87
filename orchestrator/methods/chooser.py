"""How many chunks go, why, and which: the settings' warm-up, policy, age floor and budget together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.chunking import selection, sensitivity
from fedchunk.orchestrator.methods.scorer import Ages
from fedchunk.orchestrator.settings.joined import Sections


@dataclass(frozen=True)
class Count:
    """K, and what made it so: the rule, and the limit that changed what the rule asked for, if one did."""

    chunks: int
    reason: str


@dataclass(frozen=True)
class Choice:
    """Which chunks go, and why so many."""

    selected_C: NDArray[np.bool_]
    reason: str


FULL = "chunking off"
LOCAL = frozenset({"scores_C", "ages_C", "client", "rng"})
"""What only a client knows."""


def _no_rng() -> np.random.Generator:
    raise AssertionError("a policy that draws is asked by a client, which has a stream of its own")


class Chooser:
    """The policy in force, within its limits."""

    def __init__(self, settings: Sections) -> None:
        self._chunking = settings.chunking
        self._policy = settings.bound("policy") if settings.chunking.chunking else None
        self._settings = settings.on_offer("policy")

    def choose(
        self,
        scores_C: NDArray[np.float32],
        ages: Ages,
        affordable: int | None,
        make_rng: Callable[[], np.random.Generator] = _no_rng,
    ) -> Choice:
        """The chunks to send: as many as the policy, the budget and the ages say, by score.

        Args:
            scores_C: the scores that the choice is made by.
            ages: the past.
            affordable: most chunks that the round's bytes allow; None: no budget.
            make_rng: called if the policy draws.
        """
        if self._policy is None:
            return Choice(np.ones(len(scores_C), np.bool_), FULL)
        max_age = self._chunking.chunk_max_age
        count = self.count(scores_C, ages, affordable, make_rng)
        if max_age is None:
            return Choice(selection.best(scores_C, count.chunks), count.reason)
        return Choice(selection.best_with_oldest_first(scores_C, count.chunks, ages.ages_C, max_age), count.reason)

    @property
    def reads_scores(self) -> bool:
        """Whether the number of chunks depends on more than the round: it is not known before the clients train."""
        return self._policy is not None and bool(LOCAL & set(self._policy.asks))

    def most_in(self, round_index: int, num_chunks: int) -> int:
        """The most chunks that a client may send in a round, whatever it found."""
        chunking = self._chunking
        if not chunking.chunking or (chunking.chunk_max_age is not None and round_index > chunking.chunk_max_age):
            return num_chunks
        in_warmup = round_index <= chunking.sensitivity_warmup_rounds
        share = chunking.sensitivity_warmup_percentage if in_warmup else chunking.sensitivity_percentage
        return sensitivity.fixed(num_chunks, share)

    def count_in(self, round_index: int, num_chunks: int) -> int:
        """K of a warm-up round, or of a policy that depends on the round alone; before age and budget."""
        nothing_C = np.zeros(num_chunks, np.float32)
        return self.count(nothing_C, Ages(round_index, np.full(num_chunks, -1, np.int32)), None).chunks

    def count(
        self,
        scores_C: NDArray[np.float32],
        ages: Ages,
        affordable: int | None,
        make_rng: Callable[[], np.random.Generator] = _no_rng,
    ) -> Count:
        """K for one client and round: warm-up or policy, ceiling, age floor, budget.

        A warm-up round sends ``sensitivity_warmup_percentage``, whatever the policy. After it the policy asks for a
        count, of which at most ``sensitivity_percentage`` goes. Overdue chunks go even above that ceiling; nothing goes
        above what the bytes allow, overdue or not. K is 0 where the budget has room for none, where no score reaches
        the threshold, and where a policy that reads scores finds them all 0: nothing is worth sending.

        Raises:
            ComponentFailed: a user's policy raised, or gave back no number of chunks.
        """
        num_chunks, chunking = len(scores_C), self._chunking
        if self._policy is None:
            return Count(num_chunks, FULL)
        overdue = 0 if chunking.chunk_max_age is None else int((ages.ages_C >= chunking.chunk_max_age).sum())
        limit = ""
        if ages.round_index <= chunking.sensitivity_warmup_rounds:
            chunks, rule = sensitivity.fixed(num_chunks, chunking.sensitivity_warmup_percentage), "warm-up"
        else:
            chunks, rule = self._asked_for(scores_C, ages, make_rng)
            ceiling = sensitivity.fixed(num_chunks, chunking.sensitivity_percentage)
            if chunks > ceiling:
                chunks, limit = ceiling, "ceiling"
        if overdue > chunks:
            chunks, limit = overdue, "age"
        if affordable is not None and chunks > affordable:
            chunks, limit = affordable, "budget"
        return Count(chunks, f"{rule}, {limit}" if limit not in ("", rule) else rule)

    def _asked_for(
        self, scores_C: NDArray[np.float32], ages: Ages, make_rng: Callable[[], np.random.Generator]
    ) -> tuple[int, str]:
        """What the policy asks for, and why."""
        policy = self._policy
        assert policy is not None
        offers: dict[str, Any] = {
            **self._settings,
            "scores_C": scores_C,
            "ages_C": ages.ages_C,
            "num_chunks": len(scores_C),
            "round_index": ages.round_index,
            "client": ages.client,
        }
        if "rng" in policy.asks:
            offers["rng"] = make_rng()
        answer = policy(**offers)
        chunks, reason = answer if isinstance(answer, tuple) and len(answer) == 2 else (answer, policy.short_name)
        if policy.is_own:
            whole = isinstance(chunks, int | np.integer) and not isinstance(chunks, bool | np.bool_)
            if not whole or not 0 <= chunks <= len(scores_C):
                allowed = f"a whole number from 0 to {len(scores_C)}, or (K, reason)"
                raise policy.failed(f"returned {answer!r}, expected {allowed}")
        return int(chunks), str(reason)
