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

    def turns(self, *activities: str, clients: int) -> Turns:
        """Notes activities that take turns client by client, as one span each: a span for each turn would cost more
        than the turn."""
        return Turns(self._actor, self._spans, activities, clients)

    @property
    def spans(self) -> tuple[Span, ...]:
        """Everything noted since the last reading out."""
        return tuple(self._spans)

    def read_out(self) -> tuple[Span, ...]:
        """Everything noted since the last time; nothing is left after it."""
        spans, self._spans = self._spans, []
        return tuple(spans)  # only now: another thread may have added one meanwhile


class Turns:
    """Adds up the time of activities that take turns. Their spans stand one behind the other."""

    def __init__(self, actor: str, spans: list[Span], activities: tuple[str, ...], clients: int) -> None:
        self._actor, self._spans, self._clients = actor, spans, clients
        self._seconds = dict.fromkeys(activities, 0.0)
        self._began = time.time()
        self._activity: str | None = None
        self._since = 0.0

    def now(self, activity: str) -> None:
        """Another activity begins."""
        at = time.perf_counter()
        if self._activity is not None:
            self._seconds[self._activity] += at - self._since
        self._activity, self._since = activity, at

    def end(self) -> None:
        """Notes all of them."""
        if self._activity is not None:
            self.now(self._activity)
        for activity, seconds in self._seconds.items():
            if seconds:
                self._spans.append(Span(self._actor, activity, self._clients, self._began, seconds))
                self._began += seconds
