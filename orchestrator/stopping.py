"""How a run is stopped from outside: Ctrl-C, a batch system's SIGTERM, a closed terminal's SIGHUP all mean the same.

before the first round     it stops at once
while rounds run           the round in progress is finished if it is done soon, else given up; a second signal
                           gives it up at once
while the end is recorded  what there is is written down first, and nothing optional is waited for

"At once" is KeyboardInterrupt, in whatever line of whatever library the main thread is. Some make another error of it
(a class that is being made, for one) and some pass it over: both are looked after here.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")


def _ours() -> list[int]:
    """The signals that are not ignored: ``nohup`` has SIGHUP ignored, and that stays so."""
    numbers = [getattr(signal, name) for name in SIGNALS]
    return [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]


@contextmanager
def interruptions() -> Iterator[None]:
    """What a library made of a KeyboardInterrupt is one again."""
    try:
        yield
    except Exception as error:
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, KeyboardInterrupt):
                raise KeyboardInterrupt from error
            cause = cause.__cause__ or cause.__context__
        raise


class Stop:
    """Whether somebody wants the run to end.

    Attributes:
        asked: the signal that came while rounds ran; None if none did.
        hurried: whether one came while the end was being recorded.
    """

    def __init__(self, limit_s: float = 0.0, say: Callable[[str], None] = lambda text: None) -> None:
        """``limit_s``: how long a round may take to its end once a signal came; ``say`` shows a line to people."""
        self.asked: str | None = None
        self.hurried = False
        self.limit_s, self.say = limit_s, say
        self._until: float | None = None
        self._raised = False
        self._mode = "at once"

    @contextmanager
    def listening(self) -> Iterator[Stop]:
        """While in here, signals are ours; only in a process's main thread, elsewhere they cannot be."""
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        before: dict[int, Any] = {}
        try:
            for number in _ours():
                before[number] = signal.signal(number, self._on_signal)
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler if handler is not None else signal.SIG_DFL)

    def listen_again(self) -> None:
        """Ray takes SIGTERM for itself when it starts: takes it back."""
        if threading.current_thread() is threading.main_thread():
            for number in _ours():
                signal.signal(number, self._on_signal)

    @contextmanager
    def rounds_running(self) -> Iterator[None]:
        """The first signal lets the round in progress come to its end."""
        self._mode = "patient"
        try:
            with interruptions():
                self.check()
                yield
        finally:
            self._mode = "at once"

    @contextmanager
    def heard(self) -> Iterator[None]:
        """In what is done to its end, what may be broken off: also by a signal that came before."""
        before, self._mode = self._mode, "at once"
        try:
            if self.hurried:
                self.hurried = False
                raise KeyboardInterrupt
            with interruptions():
                yield
        finally:
            self._mode = before

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """What is done in here is done to its end."""
        before, self._mode = self._mode, "deferred"
        try:
            yield
        finally:
            self._mode = before

    def ask(self, by: str) -> None:
        """Wants the run to end after its round; ``by`` says who does."""
        self.asked, self._until = by, time.monotonic() + self.limit_s

    def check(self) -> None:
        """Raises KeyboardInterrupt where the round has taken too long since the signal, or a library passed one over.

        To be called now and then.
        """
        if self._raised or (self._until is not None and time.monotonic() > self._until):
            raise KeyboardInterrupt

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._mode == "deferred":
            self.hurried = True
            return
        if self._mode == "patient" and self.asked is None:
            self.ask(signal.Signals(number).name)
            self.say(f"{self.asked}: stopping after this round, or in {self.limit_s:g} s; once more to stop at once")
            return
        self._raised = True
        raise KeyboardInterrupt
