"""What partitions share: owners of samples to parts, shares in whole numbers, and how faults are said."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.core.errors import ConfigError, Fault

NAMED_CLIENTS = 10
"""Clients without samples that an error names; the others are counted."""

Parts = list[NDArray[np.int64]]
"""The samples of each client."""


def parts_of(owner_S: NDArray[np.int64], number_of_clients: int) -> Parts:
    """Sorted sample indices by owner."""
    by_owner = np.argsort(owner_S, kind="stable")
    sizes = np.bincount(owner_S, minlength=number_of_clients)
    return np.split(by_owner, np.cumsum(sizes)[:-1])


def divide(total: int, demand_N: NDArray[np.float64]) -> NDArray[np.int64]:
    """``total`` things in proportion to demand, whole numbers that add up; evenly where nobody demands any."""
    if not demand_N.any():
        demand_N = np.ones_like(demand_N)
    cumulated = np.cumsum(demand_N / demand_N.max())  # by the largest: the sum of tiny demands must not vanish
    cuts = np.rint(total * (cumulated / cumulated[-1]))
    return np.asarray(np.diff(cuts, prepend=0), dtype=np.int64)


def names(clients: NDArray[np.int64]) -> str:
    """Clients for a message, not more than some."""
    named = ", ".join(map(str, clients[:NAMED_CLIENTS]))
    more = f" and {len(clients) - NAMED_CLIENTS} more" if len(clients) > NAMED_CLIENTS else ""
    return f"client{'s' if len(clients) > 1 else ''} {named}{more}"


def fault(key: str, message: str) -> ConfigError:
    """An error that points at a setting."""
    return ConfigError([Fault(where="", key=key, message=message)])
