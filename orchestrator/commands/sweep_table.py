"""A sweep as people see it: a table that is drawn over on a terminal, a line for each trial elsewhere."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

from rich.live import Live
from rich.table import Table
from rich.text import Text

from fedchunk.orchestrator.commands.console import size
from fedchunk.orchestrator.commands.progress import error_console
from fedchunk.orchestrator.sweeping.standing import Shown, Standing

MOST_ROWS = 30
"""Trials that the table shows at once: those that run, then those that wait, then those that ended last."""
ORDER = ("running", "waiting", "failed", "interrupted", "finished", "there")


class SweepTable(Shown):
    """Shows trials, on standard error. A context manager."""

    def __init__(self) -> None:
        self._console = error_console()
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._seen: dict[str, str] = {}

    def __enter__(self) -> SweepTable:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._live.stop()

    def say(self, text: str) -> None:
        """A line for people."""
        with contextlib.suppress(OSError):
            self._console.print(Text(text))

    def update(self, standings: Mapping[str, Standing]) -> None:
        """Where all trials stand: the table again, and a line where one began or ended."""
        for name, standing in standings.items():
            if self._seen.get(name) != standing.status:
                self._seen[name] = standing.status
                if standing.status not in ("waiting", "running") or not self._console.is_terminal:
                    self._tell(name, standing)
        if self._console.is_terminal:
            self._live.update(table_of(standings), refresh=True)

    def _tell(self, name: str, standing: Standing) -> None:
        if standing.status in ("waiting", "there"):
            return
        reached = "" if standing.status == "running" else f"  {_reached(standing)}"
        error = f"  {standing.error}" if standing.error else ""
        self.say(f"{standing.status:11}{name}{reached}{error}")


def table_of(standings: Mapping[str, Standing]) -> Table:
    """The trials, those that run first."""
    metrics = sorted({standing.target.metric for standing in standings.values()})
    table = Table("trial", "status", "round", ", ".join(metrics) or "accuracy", "bytes", box=None, pad_edge=False)
    rows = sorted(standings.items(), key=lambda item: ORDER.index(item[1].status))
    for name, standing in rows[:MOST_ROWS]:
        done = f"{standing.round_index}/{standing.rounds}" if standing.rounds else "-"
        table.add_row(name, standing.status, done, standing.target.text(standing.value), size(standing.num_bytes))
    if len(rows) > MOST_ROWS:
        table.caption = f"and {len(rows) - MOST_ROWS} more"
    return table


def _reached(standing: Standing) -> str:
    reached = f"{standing.target.metric} {standing.target.text(standing.value)}"
    return f"{standing.round_index} rounds, {reached}, {size(standing.num_bytes)}"
