"""What a process did when, as spans on its own clock."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

from fedchunk.orchestrator.contract.messages import Span


class SpanRecorder:
    """What one process did when; read out with every answer, so it stays short."""

    def __init__(self, actor: str | None = None) -> None:
        self._actor = actor or f"{socket.gethostname()} {os.getpid()}"
        self._spans: list[Span] = []

    @contextmanager
    def doing(self, activity: str, clients: int = 0) -> Iterator[None]:
        """Notes how long the block takes, also when it raises."""
        at, started = time.time(), time.perf_counter()
        try:
            yield
        finally:
            self._spans.append(Span(self._actor, activity, clients, at, time.perf_counter() - started))

    @property
    def spans(self) -> tuple[Span, ...]:
        """Everything noted since the last reading out."""
        return tuple(self._spans)

    def read_out(self) -> tuple[Span, ...]:
        """Everything noted since the last time; nothing is left after it."""
        spans, self._spans = self._spans, []
        return tuple(spans)  # only now: another thread may have added one meanwhile
