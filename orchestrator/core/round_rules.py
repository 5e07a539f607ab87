"""The decisions of a round as pure functions: who takes part, whom to ask again, whose update is added next.

State goes in and comes out; who asks, waits and adds is :mod:`fedchunk.actors.coordinator.star`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from itertools import takewhile

import numpy as np

from fedchunk.orchestrator.core.seeds import generator


def cohort_size(number_of_clients: int, sampling_rate: float) -> int:
    """How many clients take part in each round: ``max(1, round(N * rate))``."""
    return max(1, round(number_of_clients * sampling_rate))


def cohort(number_of_clients: int, sampling_rate: float, seed: int, round_index: int) -> tuple[int, ...]:
    """The clients of a round in ascending order: :func:`cohort_size` of them, drawn without replacement.

    Example:
        >>> cohort(4, 1.0, seed=1, round_index=1)
        (0, 1, 2, 3)
    """
    size = cohort_size(number_of_clients, sampling_rate)
    chosen = generator(seed, "cohort", round_index).choice(number_of_clients, size, replace=False)
    return tuple(int(client) for client in np.sort(chosen))


class Decision(Enum):
    """What to do with a call that was lost."""

    ASK_AGAIN = "another actor repeats it"
    GIVE_UP = "it was repeated often enough"


@dataclass(frozen=True)
class Attempts:
    """How often each call of a phase was made."""

    made: Mapping[int, int]
    limit: int

    def on_lost(self, key: int) -> tuple[Attempts, Decision]:
        """A call was lost with its actor. A client is data: another actor repeats its work with the same bits."""
        if self.made[key] >= self.limit:
            return self, Decision.GIVE_UP
        return replace(self, made={**self.made, key: self.made[key] + 1}), Decision.ASK_AGAIN


def first_attempts(keys: Iterable[int], limit: int) -> Attempts:
    """Every call made once."""
    return Attempts(dict.fromkeys(keys, 1), limit)


@dataclass(frozen=True)
class InOrder:
    """Who may be added next, so that sums are added in client order whatever order answers come in.

    Example:
        >>> state, ready = InOrder((0, 1, 2)).settle(1)
        >>> ready, state.settle(0)[1]
        ((), (0, 1))
    """

    waiting: tuple[int, ...]
    """Not yet added, in order."""
    settled: frozenset[int] = frozenset()
    """Of those, who has an answer (or never will)."""

    def settle(self, key: int) -> tuple[InOrder, tuple[int, ...]]:
        """``key`` has its answer: the state after it, and who can be added now."""
        settled = self.settled | {key}
        ready = tuple(takewhile(settled.__contains__, self.waiting))
        return InOrder(self.waiting[len(ready) :], settled.difference(ready)), ready


def is_evaluated(round_index: int, interval: int, last_round: int) -> bool:
    """Whether a round is measured: every ``interval`` rounds, and the last."""
    return round_index % interval == 0 or round_index == last_round


def needed(cohort_size: int, min_completion_rate: float) -> int:
    """Clients that must count for a round to stand; at least one."""
    return max(1, math.ceil(cohort_size * min_completion_rate))
