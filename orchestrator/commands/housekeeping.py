"""The runs below a folder: how they ended, what they reached, what they take, and what of them can go."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from fedchunk.orchestrator.commands.console import percent, size, table
from fedchunk.orchestrator.core.errors import ConfigError, Fault
from fedchunk.orchestrator.core.parts import parts_of
from fedchunk.orchestrator.core.target import Target
from fedchunk.orchestrator.recording.checkpoints import FOLDER as CHECKPOINTS
from fedchunk.orchestrator.recording.run_folder import is_in_use

OVER = ("finished", "failed", "interrupted", "killed")


@dataclass(frozen=True)
class RecordedRun:
    """A run's folder at a glance."""

    folder: str
    status: str
    """As in its summary; ``killed`` where that says running and no process has the folder, ``damaged`` where it cannot
    be read."""
    rounds: int
    accuracy: float | None
    num_bytes: int
    """Sent in both directions."""
    size: int
    """On the disk, in bytes."""
    checkpoints: int
    """Of that."""
    changed: str
    """When something was last written, ISO 8601 in UTC."""
    target_metric: str = "accuracy"
    """What it is judged by."""
    target: float | None = None
    """Of that, where it is not accuracy."""

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return asdict(self)


def find_runs(folder: Path) -> list[RecordedRun]:
    """All runs in a folder and below, the newest last. Raises ConfigError: there is no such folder."""
    if not folder.is_dir():
        raise ConfigError([Fault(str(folder), "", "there is no such folder; give one with runs in it, such as runs")])
    found = [_look_at(run) for run in _folders(folder)]
    return sorted(found, key=lambda run: run.changed)


def runs_text(runs: Sequence[RecordedRun]) -> str:
    """The runs as a table."""
    if not runs:
        return "no runs"
    rows: list[tuple[str, ...]] = [("run", "status", "rounds", "accuracy", "sent", "size", "checkpoints")]
    rows += [
        (
            run.folder,
            run.status,
            str(run.rounds),
            _judged(run),
            size(run.num_bytes),
            size(run.size),
            size(run.checkpoints),
        )
        for run in runs
    ]
    return table(rows)


def _judged(run: RecordedRun) -> str:
    if run.target_metric == "accuracy":
        return percent(run.accuracy)
    return f"{run.target_metric} {Target(run.target_metric).text(run.target)}"


@dataclass(frozen=True)
class Removal:
    """What can go."""

    path: Path
    why: str
    size: int


def removable(runs: Iterable[RecordedRun], *, unfinished: bool, older_days: float | None) -> list[Removal]:
    """What of runs that are over can go.

    Args:
        runs: all there are.
        unfinished: also whole folders of runs that did not finish.
        older_days: only of runs that nobody has written into for so many days.
    """
    before = None if older_days is None else datetime.now(UTC) - timedelta(days=older_days)
    found: list[Removal] = []
    for run in runs:
        path = Path(run.folder)
        if run.status not in OVER or (before is not None and datetime.fromisoformat(run.changed) > before):
            continue
        if run.status != "finished" and unfinished:
            found.append(Removal(path, f"{run.status} after {run.rounds} rounds", run.size))
        elif run.checkpoints and run.status == "finished":
            found.append(Removal(path / CHECKPOINTS, "checkpoints of a finished run", run.checkpoints))
    return found


def remove(removals: Iterable[Removal]) -> None:
    """Removes them. Raises OSError."""
    for removal in removals:
        shutil.rmtree(removal.path)


def _folders(folder: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(folder):
        if "config.json" in files and "tables" in folders:
            folders.clear()
            yield Path(place)


def _look_at(run: Path) -> RecordedRun:
    accuracy: float | None
    metric, target = "accuracy", None
    try:
        summary = json.loads((run / "summary.json").read_text(encoding="utf-8"))
        status, rounds = str(summary["status"]), int(summary["rounds_completed"])
        sent = int(summary["uplink_bytes"]) + int(summary["downlink_bytes"])
        accuracy = Target().of(summary)
        metric = str(summary.get("target_metric", "accuracy"))
        target = None if metric == "accuracy" else Target(metric).of(summary)
    except (OSError, ValueError, KeyError, TypeError):
        status, rounds, sent, accuracy = "damaged", 0, 0, None
    if status == "running" and not is_in_use(run):
        status = "killed"
    sizes, newest = _sizes(run)
    if status in ("running", "killed"):
        rounds = _rounds_of(run)
    changed = datetime.fromtimestamp(newest, UTC).isoformat(timespec="seconds")
    checkpoints = _sizes(run / CHECKPOINTS)[0]
    return RecordedRun(str(run), status, rounds, accuracy, sent, sizes, checkpoints, changed, metric, target)


def _rounds_of(run: Path) -> int:
    """Of a run that has not said how it ended: the rounds in its table."""
    import pyarrow.parquet as pq

    try:
        return sum(pq.read_metadata(part.path).num_rows for part in parts_of(run / "tables" / "rounds.parts"))
    except (OSError, ValueError):
        return 0


def _sizes(folder: Path) -> tuple[int, float]:
    """Bytes of all files, and when the newest was written."""
    files = [Path(place) / name for place, _, names in os.walk(folder) for name in names]
    stats = [file.lstat() for file in files if file.exists()]
    return sum(stat.st_size for stat in stats), max((stat.st_mtime for stat in stats), default=0.0)
