"""How a command answers: text for people, or with ``--json`` one object; which exit code stands for what.

With ``--json`` everything that is printed on the way goes to standard error, whoever prints it, so that standard
output holds the one line that a program reads.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
import traceback
from collections.abc import Iterator
from typing import Any, TextIO

from fedchunk.orchestrator.core.errors import ConfigError, FedchunkError
from fedchunk.orchestrator.stopping import interruptions

OK, FAILED, BAD_CONFIGURATION, INCOMPLETE, INTERRUPTED, BROKEN_PIPE = 0, 1, 2, 3, 130, 141
"""Exit codes. 2 is also what typer gives for a wrong command line, 130 what a shell expects after Ctrl-C and 141 where
nobody reads on. 3: the run is finished, but not all of it could be written down."""


class Answer:
    """Where a command says what came out. Made by :func:`answering`."""

    def __init__(self, as_json: bool, out: TextIO) -> None:
        self.as_json = as_json
        self.exit_code = OK
        self._out = out

    def say(self, text: str) -> None:
        """A line for people; on standard error where standard output is for a program."""
        _print(text, sys.stdout)

    def give(self, result: dict[str, Any], text: str) -> None:
        """The result: as one line of JSON, or ``text``."""
        _print(json.dumps(result, allow_nan=False) if self.as_json else text, self._out)

    def fail(self, exit_code: int, status: str, error: str, **more: Any) -> None:
        """What went wrong: on standard error for people, as ``status`` and ``error`` for a program."""
        self.exit_code = exit_code
        print(error, file=sys.stderr)
        if self.as_json:
            self.give({"status": status, "error": error, **more}, error)


class _Unread(Exception):
    """Who reads what is printed, as ``head`` does, has read enough."""


def _print(text: str, file: TextIO) -> None:
    try:
        print(text, file=file, flush=True)
    except BrokenPipeError:
        nowhere = os.open(os.devnull, os.O_WRONLY)  # for what is still to be flushed
        os.dup2(nowhere, file.fileno())
        os.close(nowhere)
        raise _Unread from None


@contextlib.contextmanager
def answering(as_json: bool) -> Iterator[Answer]:
    """Runs a command's body; the errors of ours and Ctrl-C become an answer and leave with their exit code.

    Raises SystemExit when the exit code is not 0. Other exceptions are faults of ours: their traceback goes into a
    file.
    """
    answer = Answer(as_json, sys.stdout)
    with contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext():
        try:
            with interruptions():
                yield answer
        except ConfigError as error:
            faults = [{"where": f.where, "key": f.key, "message": f.message} for f in error.faults]
            answer.fail(BAD_CONFIGURATION, "invalid", str(error), faults=faults)
        except FedchunkError as error:
            answer.fail(FAILED, "failed", str(error))
        except KeyboardInterrupt:
            answer.fail(INTERRUPTED, "interrupted", "interrupted by the user")
        except _Unread:
            answer.exit_code = BROKEN_PIPE
        except Exception as error:
            answer.fail(FAILED, "failed", _unexpected(error))
    if answer.exit_code != OK:
        raise SystemExit(answer.exit_code)


def _unexpected(error: Exception) -> str:
    """What to say of a fault of our own."""
    text = f"{type(error).__name__}: {error}\nThis is a fault of fedchunk."
    try:
        with tempfile.NamedTemporaryFile("w", prefix="fedchunk-", suffix=".txt", delete=False) as file:
            traceback.print_exception(error, file=file)
    except OSError:
        return text
    return f"{text} Please report it with {file.name}"


def table(rows: list[tuple[str, ...]]) -> str:
    """Rows as aligned columns: the first to the left, the others to the right.

    Example:
        >>> print(table([("", "up", "down"), ("sent", "1 MB", "20 MB")]))
                up   down
        sent  1 MB  20 MB
    """
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            cell.rjust(width) if i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    return "\n".join(line.rstrip() for line in lines)


def size(num_bytes: float) -> str:
    """Bytes in decimal units with three digits, as networks are billed.

    Example:
        >>> [size(999), size(102_228_128), size(511_140_640_000)]
        ['999 B', '102 MB', '511 GB']
    """
    value, units = float(num_bytes), ["B", "kB", "MB", "GB", "TB", "PB"]
    unit = units.pop(0)
    while units and value >= 999.5:
        value, unit = value / 1000, units.pop(0)
    return f"{value:#.3g}".rstrip(".") + f" {unit}" if unit != "B" else f"{num_bytes:.0f} B"


def percent(share: float | None, digits: int = 1) -> str:
    """A share of 1 as a percentage; a dash where there is none."""
    return "-" if share is None else f"{100 * share:.{digits}f} %"


def duration(seconds: float | None) -> str:
    """Seconds as hours, minutes and seconds; a dash where they are not known.

    Example:
        >>> [duration(7), duration(3661), duration(None)]
        ['0:07', '1:01:01', '-']
    """
    if seconds is None:
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
