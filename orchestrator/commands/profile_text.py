"""Where the time of a profiled run went, as text for people."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from fedchunk.orchestrator.commands.console import percent, table
from fedchunk.orchestrator.core.records import ACTIVITIES
from fedchunk.orchestrator.recording.profile import TRACE
from fedchunk.orchestrator.recording.timeline import COORDINATOR, DRIVER, is_client_actor, round_windows
from fedchunk.orchestrator.recording.trace import in_order, rounds_shown

MOST_ACTORS = 8
"""Client actors that get a line; of more those that waited longest, since they say what is to be gained."""


@dataclass(frozen=True)
class Usage:
    """What an actor, or several together, did in the time of rounds."""

    name: str
    available_s: float
    seconds: dict[str, float]
    """By activity."""

    @property
    def busy_s(self) -> float:
        """All but waiting."""
        return sum(seconds for activity, seconds in self.seconds.items() if activity != "wait")

    def share(self, seconds: float) -> float:
        """Of the time there was."""
        return seconds / self.available_s


def profile_text(folder: Path) -> str | None:
    """The profile in a run's folder in few lines; None if the run has none."""
    file = folder / "tables" / "profile.parquet"
    if not file.exists():
        return None
    with pq.ParquetFile(file) as parquet:
        return usage_text(parquet.read())


def trace_place(folder: Path) -> str | None:
    """Where the trace is and what opens it; None if the run has none."""
    if not (folder / TRACE).exists():
        return None
    with pq.ParquetFile(folder / "tables" / "profile.parquet") as parquet:
        rounds = parquet.read(["round"])
    shown = rounds_shown(rounds)
    only = "" if shown[-1] == max(rounds["round"].to_pylist()) else f"rounds 1 to {shown[-1]}; "
    return f"{folder / TRACE} ({only}open it with https://ui.perfetto.dev)"


def usage_text(profile: pa.Table) -> str:
    """Seconds and share of the rounds' time by activity, then a line for each client actor."""
    windows = round_windows(profile)
    total_s = sum(window.stop_s - window.start_s for window in windows.values())
    usages = _usages(profile, total_s)
    clients = [usage for name, usage in usages.items() if is_client_actor(name)]
    kinds = [
        together(_plural(len(clients)), clients),
        *(usages[name] for name in (COORDINATOR, DRIVER) if name in usages),
    ]
    rounds = f"{len(windows)} round{'' if len(windows) == 1 else 's'}"
    return f"time of {rounds}: {total_s:.2f} s\n\n{_by_activity(kinds)}\n\n{_by_actor(clients)}"


def together(name: str, usages: Iterable[Usage]) -> Usage:
    """The sums of several actors, of the time that all of them had."""
    seconds: dict[str, float] = {}
    available_s = 0.0
    for usage in usages:
        available_s += usage.available_s
        for activity, own in usage.seconds.items():
            seconds[activity] = seconds.get(activity, 0.0) + own
    return Usage(name, available_s, seconds)


def _usages(profile: pa.Table, total_s: float) -> dict[str, Usage]:
    """Of each actor, in order. A client actor had the rounds in which it was there, the others had all."""
    windows = round_windows(profile)
    own_s: dict[str, float] = {}
    for row in profile.group_by(["actor", "round"]).aggregate([]).to_pylist():
        if row["round"] in windows:
            window = windows[row["round"]]
            own_s[row["actor"]] = own_s.get(row["actor"], 0.0) + window.stop_s - window.start_s
    seconds: dict[str, dict[str, float]] = {}
    for row in profile.group_by(["actor", "activity"]).aggregate([("duration_s", "sum")]).to_pylist():
        seconds.setdefault(row["actor"], {})[row["activity"]] = row["duration_s_sum"]
    return {
        actor: Usage(actor, own_s[actor] if is_client_actor(actor) else total_s, seconds[actor])
        for actor in in_order(seconds)
    }


def _by_activity(kinds: list[Usage]) -> str:
    rows = [("", *(cell for kind in kinds for cell in (kind.name, "share")))]
    for activity in ACTIVITIES:
        if any(activity in kind.seconds for kind in kinds):
            rows.append((activity, *(cell for kind in kinds for cell in _cells(kind, kind.seconds.get(activity)))))
    rows.append(("busy", *(cell for kind in kinds for cell in _cells(kind, kind.busy_s))))
    return table(rows)


def _by_actor(clients: list[Usage]) -> str:
    done = [activity for activity in ACTIVITIES if any(activity in usage.seconds for usage in clients)]
    shown = clients
    if len(clients) > MOST_ACTORS:
        shown = sorted(clients, key=lambda usage: usage.share(usage.busy_s))[:MOST_ACTORS]
    rows = [("client actor", "busy", *done)]
    for usage in shown:
        shares = [usage.share(usage.seconds.get(activity, 0.0)) for activity in done]
        rows.append((usage.name, percent(usage.share(usage.busy_s)), *map(percent, shares)))
    left_out = len(clients) - len(shown)
    return table(rows) + (f"\nand {left_out} more that waited less" if left_out else "")


def _cells(kind: Usage, seconds: float | None) -> tuple[str, str]:
    return ("-", "-") if seconds is None else (f"{seconds:.2f} s", percent(kind.share(seconds)))


def _plural(actors: int) -> str:
    return "1 client actor" if actors == 1 else f"{actors} client actors"
