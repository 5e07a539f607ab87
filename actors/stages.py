"""Time and place of what a client does: seconds between laps, and the stage that an error came from."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from orchestrator.errors import ClientFailed, FedchunkError
from orchestrator.messages import TrainOrder


class Clock:
    """Seconds between laps, by name."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        """Notes the seconds since the last lap."""
        now = time.perf_counter()
        self.laps[name] = now - self._last
        self._last = now


@contextmanager
def stage(order: TrainOrder, name: str) -> Iterator[None]:
    """Says in which client, round and stage something failed; the cause stays attached."""
    try:
        yield
    except (FedchunkError, ArithmeticError, ValueError, RuntimeError, MemoryError) as error:
        raise ClientFailed(order.client_id, order.round_index, name, f"{type(error).__name__}: {error}") from error
