"""Entry point of ``fedchunk``: what has to be settled before anything is imported."""

from __future__ import annotations

import getpass
import os
import signal
import tempfile

from fedchunk.actors.backends.memory import uncollected


def main() -> None:
    """Runs a command. Ctrl-C, SIGTERM and SIGHUP mean the same from the first line on."""
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name)
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup's
            signal.signal(number, signal.default_int_handler)
    _settle_environment()
    try:
        with uncollected():
            from fedchunk.orchestrator.cli import app
        app()
    except KeyboardInterrupt:
        from fedchunk.orchestrator.commands.console import INTERRUPTED

        raise SystemExit(INTERRUPTED) from None


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
