"""Entry point of ``fedchunk``: what has to be settled before anything is imported."""

from __future__ import annotations

import atexit
import getpass
import os
import signal
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

from fedchunk.actors.backends.memory import uncollected
from fedchunk.orchestrator.stopping import interruptions

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> None:
    """Runs a command. Ctrl-C, SIGTERM and SIGHUP mean the same from the first line on."""
    heard = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]  # nohup's
    for number in heard:
        signal.signal(number, signal.default_int_handler)
    _settle_environment()
    with _ending_as_answered(heard):
        try:
            with interruptions():
                with uncollected():
                    from fedchunk.orchestrator.cli import app
                app()
        except KeyboardInterrupt:
            from fedchunk.orchestrator.commands.console import INTERRUPTED

            raise SystemExit(INTERRUPTED) from None


@contextmanager
def _ending_as_answered(heard: Sequence[int]) -> Iterator[None]:
    """Once the command has answered, a signal ends the process sooner, and with the exit code that it has anyway.

    Python takes its handlers away before it takes modules apart, which lasts with large ones: what is ignored stays
    ignored, everything else would kill there.
    """
    atexit.register(_handle, heard, signal.SIG_IGN)  # what is registered first is called last
    code = 1
    try:
        yield
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        raise
    finally:
        _handle(heard, lambda number, frame: os._exit(code))


def _handle(numbers: Sequence[int], handler: Callable[[int, FrameType | None], Any] | signal.Handlers) -> None:
    for number in numbers:
        signal.signal(number, handler)


def _settle_environment() -> None:
    """Containers may know no home folder, and no name for their user; Ray, MLflow and others ask for both."""
    if os.path.expanduser("~") == "~":
        os.environ["HOME"] = tempfile.gettempdir()
    try:
        getpass.getuser()
    except (KeyError, OSError):
        os.environ["LOGNAME"] = f"user{os.getuid()}"
    # pydantic looks through everything that is installed for plugins of its own: a fifth of the time of `validate`.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
