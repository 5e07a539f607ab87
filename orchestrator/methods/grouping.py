"""Which clients of a round share a sum, and which share a call.

A *group* is a run of consecutive clients of the cohort. Its clients may be trained at once, and their updates are added
to each other before the sum is added to the round's: so groups are part of what makes bits repeat, and only the
settings shape them. A *call* is one or more whole groups for one actor: it changes no result, so it may depend on
the actors there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from fedchunk.orchestrator.settings.sections import FederationSettings

Group = tuple[int, ...]

GROUP_VALUES = 1 << 23
"""Values of the weights in a group of automatic size: of larger models a client is as much as the sum of a group."""
LARGEST_GROUP = 32
"""Clients of a group of automatic size at most; more at once gain nothing (benchmarks/training.py)."""
LARGE_MODEL = 1 << 18
"""Parameters from which training a client takes long, so that rounds need more groups to be shared evenly."""
FEWEST_GROUPS, FEWEST_GROUPS_OF_LARGE_MODELS = 4, 16
"""Groups of a round at least, where there are as many clients: actors share groups."""
CALL_VALUES = 1 << 21
"""Values of the weights in a call of automatic size: larger clients take long enough to have calls of their own."""


def groups(cohort: Sequence[int], settings: FederationSettings, num_parameters: int) -> tuple[Group, ...]:
    """The groups of a cohort, in order; sizes differ by at most one, and what comes last is small.

    Example:
        >>> groups((2, 3, 5, 8, 9), FederationSettings(clients_per_group=2), num_parameters=100)
        ((2, 3), (5, 8), (9,))
    """
    most = settings.clients_per_group
    if most is not None:
        count = -(-len(cohort) // most)
    else:
        most = min(LARGEST_GROUP, max(1, GROUP_VALUES // num_parameters))
        fewest = FEWEST_GROUPS if num_parameters < LARGE_MODEL else FEWEST_GROUPS_OF_LARGE_MODELS
        count = -(-len(cohort) // (most * fewest)) * fewest
    count = min(count, len(cohort))
    size, rest = divmod(len(cohort), count)
    borders = [i * size + min(i, rest) for i in range(count + 1)]  # larger groups first: then actors end together
    return tuple(tuple(cohort[start:stop]) for start, stop in pairwise(borders))


def calls(
    all_groups: Sequence[Group], clients_per_call: int | None, num_parameters: int, actors: int
) -> list[tuple[Group, ...]]:
    """Whole groups, one behind the other, for one call each.

    A call takes groups until it has ``clients_per_call`` clients. By default the smallest rounds are one call for each
    actor, and a call of large models has few clients, so that actors that are faster can take more of them.

    Example:
        >>> calls(((0, 1), (2, 3), (4,)), 3, num_parameters=100, actors=1)
        [((0, 1), (2, 3)), ((4,),)]
    """
    clients = sum(map(len, all_groups))
    wanted = clients_per_call or min(max(1, CALL_VALUES // num_parameters), -(-clients // actors))
    done: list[tuple[Group, ...]] = []
    open_call: tuple[Group, ...] = ()
    for group in all_groups:
        open_call = (*open_call, group)
        if sum(map(len, open_call)) >= wanted:
            done.append(open_call)
            open_call = ()
    return [*done, open_call] if open_call else done
