"""The live line of a run: a bar that is drawn over on a terminal, one line a round elsewhere.

Always on standard error, so that standard output holds the result only.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Column
from rich.text import Text

from fedchunk.orchestrator.commands.console import duration, percent, size
from fedchunk.orchestrator.contract.messages import RoundResult
from fedchunk.orchestrator.core.target import ACCURACY, Target

WIDE = 140
"""Columns of a terminal that has room for a bar before the line; on a narrow one the line itself takes two."""


@dataclass(frozen=True)
class Totals:
    """What the finished rounds have come to."""

    round_index: int = 0
    value: float | None = None
    """Of what the run is judged by; the coordinator's model."""
    client_mean: float | None = None
    uplink_bytes: int = 0
    downlink_bytes: int = 0
    dense_bytes: int = 0
    client_worst: float | None = None
    client_best: float | None = None
    consensus_distance: float | None = None
    target: Target = ACCURACY

    def after(self, row: Mapping[str, Any]) -> Totals:
        """With one more row of the ``rounds`` table; a round that was not evaluated keeps the last figures."""
        worst, best = self.target.spread(row)
        found = {
            "value": self.target.of_coordinator(row),
            "client_mean": self.target.of_clients(row),
            "client_worst": worst,
            "client_best": best,
            "consensus_distance": row["consensus_distance"],
        }
        measured: dict[str, Any] = {name: value for name, value in found.items() if value is not None}
        return replace(
            self,
            **measured,
            round_index=row["round"],
            uplink_bytes=self.uplink_bytes + row["uplink_bytes"],
            downlink_bytes=self.downlink_bytes + row["downlink_bytes"],
            dense_bytes=self.dense_bytes + row["dense_bytes"],
        )

    def line(self) -> str:
        """What the run is judged by, and bytes so far. Peers differ, unless they share one model."""
        text = self.target.text
        if self.consensus_distance is not None and self.value is None:
            name = "peers" if self.target == ACCURACY else f"{self.target.metric} of peers"
            parts = [
                f"{name} {text(self.client_mean)} ({text(self.client_worst)} to {text(self.client_best)})",
                f"distance {self.consensus_distance:.3g}",
            ]
        else:
            parts = [f"{self.target.metric} {text(self.value)}"]
            if self.client_mean is not None and self.consensus_distance is None:
                parts.append(f"clients {text(self.client_mean)}")
        parts.append(f"up {size(self.uplink_bytes)}")
        parts.append(f"down {size(self.downlink_bytes)}")
        if self.dense_bytes:
            share = (self.uplink_bytes + self.downlink_bytes) / self.dense_bytes
            parts.append(f"{percent(share)} of full exchange")
        return "  ".join(parts)


class LineConsole(Console):
    """A console that nobody need read."""

    def on_broken_pipe(self) -> None:
        """Nobody reads any more (``| head``): rich would end the process."""
        self.quiet = True


def error_console() -> LineConsole:
    """Standard error. A terminal is what the system says is one: FORCE_COLOR of a CI makes no terminal of its log."""
    return LineConsole(file=sys.stderr, soft_wrap=True, highlight=False, force_terminal=sys.stderr.isatty())


class ProgressLine:
    """Shows a run to people. A context manager and an :class:`fedchunk.orchestrator.contract.ports.Observer`."""

    def __init__(self, rounds: int, target: Target = ACCURACY) -> None:
        self._rounds = rounds
        self._totals = Totals(target=target)
        self._console = error_console()
        self._live = self._console.is_terminal
        text = TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=False))
        columns = (BarColumn(bar_width=20), text) if self._console.width >= WIDE else (text,)
        self._progress = Progress(*columns, console=self._console, disable=not self._live, transient=True)
        self._task = self._progress.add_task("starting", total=rounds)
        self._first_seen: tuple[float, float] | None = None

    def __enter__(self) -> ProgressLine:
        self._progress.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._progress.stop()

    @property
    def rounds_done(self) -> int:
        """The last round that ended; 0 before the first."""
        return self._totals.round_index

    def stage(self, name: str) -> None:
        """What is being done before the first round, or after the last."""
        self._show(name) if self._live else self._print(name)

    def clients_done(self, round_index: int, done: int, cohort: int) -> None:
        """How far the round in progress is."""
        self._advance(round_index - 1 + done / cohort)
        if self._live:
            self._show(self._line(round_index, f" ({done}/{cohort} clients)"))

    def round_done(self, result: RoundResult) -> None:
        """A round ended: its figures, and what went wrong with single clients."""
        self._totals = self._totals.after(result.summary)
        self._advance(float(result.round_index))
        for problem in result.problems:
            self._print(f"round {result.round_index}: left out: {problem}")
        line = self._line(result.round_index, "")
        self._show(line) if self._live else self._print(line)

    def _line(self, round_index: int, detail: str) -> str:
        return f"round {round_index}/{self._rounds}{detail}  {self._totals.line()}  ETA {duration(self._eta_s())}"

    def _advance(self, completed: float) -> None:
        if self._first_seen is None:
            self._first_seen = (self._progress.get_time(), completed)
        self._progress.update(self._task, completed=completed)

    def _eta_s(self) -> float | None:
        """From the pace since the first sign of progress: what came before (MLflow's start) comes once."""
        completed = self._progress.tasks[0].completed
        if self._first_seen is None or completed == self._first_seen[1]:
            return None
        seconds_a_round = (self._progress.get_time() - self._first_seen[0]) / (completed - self._first_seen[1])
        return seconds_a_round * (self._rounds - completed)

    def _show(self, text: str) -> None:
        self._progress.update(self._task, description=text)

    def _print(self, text: str) -> None:
        with contextlib.suppress(OSError):  # nobody can read it: a full disk, a pipe that was closed
            self._console.print(Text(text))
