"""Updates that are far larger than those of the others: a bound that honest clients stay below."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from fedchunk.orchestrator.learning.engines.batches import client_batches
from fedchunk.orchestrator.settings.sections import TrainingSettings

FEWEST = 3
"""Updates below which nobody can say who is the one that is too large."""


def units(samples_per_client: Sequence[int], training: TrainingSettings, *, of_changes: bool) -> tuple[int, ...]:
    """What the largest value of each client's update is divided by before it is compared with others'.

    A change may grow with every local step, so a client with many samples honestly sends larger ones: the number of
    its steps. Values of weights do not: 1.
    """
    if not of_changes:
        return (1,) * len(samples_per_client)
    return tuple(max(1, client_batches(n, training, drop_single=False).steps) for n in samples_per_client)


def bound(largest: Mapping[int, float], ratio: float | None) -> float | None:
    """The largest value for a unit that an update of this round may have; None: any.

    Args:
        largest: of each client whose update counts, its largest absolute value for a unit.
        ratio: how many times the median of those is allowed; None: any.

    Example:
        >>> bound({0: 1.0, 1: 1.2, 2: 0.9, 3: 100.0}, 50.0)
        55.0
        >>> bound({0: 1.0, 1: 1.2, 2: 0.9}, 50.0) is None
        True
    """
    told = [value for value in largest.values() if value > 0]
    if ratio is None or len(told) < FEWEST:
        return None
    most = ratio * statistics.median(told)
    return most if max(told) > most else None
