"""The links of clients as values: rates, latency and speed of each, drawn from a seed or given one by one.

Rates are in Mbit/s (10^6 bits), latencies in ms one way between a client and the middle of the network, where the
coordinator stands. What a round takes over them is :mod:`fedchunk.orchestrator.core.link_times`; files are read by
:mod:`fedchunk.orchestrator.settings.links_file`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.core.errors import ConfigError, Fault
from fedchunk.orchestrator.core.seeds import generator

FIELDS = ("up_mbit", "down_mbit", "latency_ms", "compute_factor")
"""What each client has of its own."""

BYTES_OF_MBIT = 1e6 / 8


class Spread(Protocol):
    """How a figure spreads over the clients. The first n draws do not depend on how many follow."""

    def draw(self, rng: np.random.Generator, count: int) -> NDArray[np.float64]:
        """One value for each of ``count`` clients."""
        ...


@dataclass(frozen=True)
class Fixed:
    """The same for all."""

    value: float

    def draw(self, rng: np.random.Generator, count: int) -> NDArray[np.float64]:
        """``value``, ``count`` times."""
        return np.full(count, self.value, np.float64)


@dataclass(frozen=True)
class Lognormal:
    """``median * exp(sigma z)`` with z standard normal: half of the clients have less than ``median``."""

    median: float
    sigma: float

    def draw(self, rng: np.random.Generator, count: int) -> NDArray[np.float64]:
        """``count`` draws."""
        return self.median * np.exp(self.sigma * rng.standard_normal(count))


@dataclass(frozen=True)
class Uniform:
    """Any value from ``low`` to ``high`` as likely as any other."""

    low: float
    high: float

    def draw(self, rng: np.random.Generator, count: int) -> NDArray[np.float64]:
        """``count`` draws."""
        return self.low + (self.high - self.low) * rng.random(count)


@dataclass(frozen=True)
class Choice:
    """One of ``values``, each as likely as its share of all ``weights``."""

    values: tuple[float, ...]
    weights: tuple[float, ...]

    def draw(self, rng: np.random.Generator, count: int) -> NDArray[np.float64]:
        """``count`` draws."""
        borders = np.cumsum(self.weights) / np.sum(self.weights)
        places = np.searchsorted(borders, rng.random(count), side="right")
        return np.asarray(self.values, np.float64)[np.minimum(places, len(self.values) - 1)]


@dataclass(frozen=True, eq=False)
class ClientLinks:
    """The links of N clients and of the coordinator, in bytes and seconds."""

    up_N: NDArray[np.float64]
    """Bytes a second that a client sends."""
    down_N: NDArray[np.float64]
    """Bytes a second that it receives."""
    latency_N: NDArray[np.float64]
    """Seconds one way."""
    compute_N: NDArray[np.float64]
    """How many times as long as in the run its training takes."""
    server_up: float = np.inf
    """Bytes a second that the coordinator sends, all clients together."""
    server_down: float = np.inf
    """Bytes a second that the coordinator receives, all clients together."""

    def __len__(self) -> int:
        return len(self.up_N)


@dataclass(frozen=True)
class Links:
    """What a links file says."""

    name: str
    """The file, or the name of one that is shipped."""
    spreads: Mapping[str, Spread]
    """By :data:`FIELDS`; one may miss that every client has of its own."""
    seed: int = 0
    server_up_mbit: float | None = None
    """Of the coordinator; None: as fast as is asked of it."""
    server_down_mbit: float | None = None
    of_clients: Mapping[str, Mapping[int, float]] = field(default_factory=dict)
    """Values of single clients, which win: by :data:`FIELDS` and client."""

    def of(self, count: int) -> ClientLinks:
        """The links of clients 0 to ``count - 1``. A client's own do not depend on ``count``.

        Raises ConfigError where a client has no value of its own and none is given for all.
        """
        drawn = {name: self._values(name, count) for name in FIELDS}
        return ClientLinks(
            up_N=drawn["up_mbit"] * BYTES_OF_MBIT,
            down_N=drawn["down_mbit"] * BYTES_OF_MBIT,
            latency_N=drawn["latency_ms"] / 1e3,
            compute_N=drawn["compute_factor"],
            server_up=_rate(self.server_up_mbit),
            server_down=_rate(self.server_down_mbit),
        )

    def _values(self, name: str, count: int) -> NDArray[np.float64]:
        own, spread = self.of_clients.get(name, {}), self.spreads.get(name)
        if spread is None:
            missing = next((client for client in range(count) if client not in own), None)
            if missing is not None:
                message = f"client {missing} has none; add it to the file of the clients, or give {name} for all"
                raise ConfigError([Fault(self.name, name, message)])
            values = np.empty(count)
        else:
            values = spread.draw(generator(self.seed, f"links {name}"), count)
        for client, value in own.items():
            if client < count:
                values[client] = value
        return values


def _rate(mbit: float | None) -> float:
    return np.inf if mbit is None else mbit * BYTES_OF_MBIT
