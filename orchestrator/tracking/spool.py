"""What waits to be sent to the tracking store, on the disk: nothing here knows MLflow or waits for a network.

    <run>/mlflow/spool.jsonl    one line per round: its CRC-32 and {"points": [[key, value, step, timestamp_ms], ...]}
    <run>/mlflow/state.json     which run of which store they belong to, and how far they have been sent

The time stamps are those of the round. A store that gets a point twice (same key, value, step and time) keeps it once,
so whoever is unsure what arrived sends it again.
"""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import threading
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from fedchunk.orchestrator.core.errors import RecordsError
from fedchunk.orchestrator.recording.atomic import write_text_atomically

FOLDER = "mlflow"
"""Of a run's folder; never uploaded."""

MAX_BATCH = 1000
"""Points in one call; MLflow takes no more."""


class Point(NamedTuple):
    """One value of one metric."""

    key: str
    value: float
    """Finite."""
    step: int
    timestamp_ms: int


def _crc(text: str) -> str:
    return f"{zlib.crc32(text.encode()):08x}"


class Spool:
    """The file of lines. One process appends, any may read."""

    def __init__(self, run_path: Path) -> None:
        self._file = run_path / FOLDER / "spool.jsonl"

    def append(self, points: Sequence[Point]) -> None:
        """Adds one line, on the disk when this returns.

        Raises:
            OSError: nothing was added.
        """
        text = json.dumps({"points": points}, allow_nan=False)
        line = f"{_crc(text)} {text}\n".encode()
        with open(self._file, "ab", buffering=0) as file:
            size = file.seek(0, os.SEEK_END)
            try:
                if file.write(line) != len(line):
                    raise OSError(f"{self._file}: the disk took only a part of the line")
                os.fsync(file.fileno())
            except OSError:
                os.ftruncate(file.fileno(), size)  # else the next line would be glued to half of this one
                raise

    def next_batch(self, offset: int) -> tuple[list[Point], int]:
        """Whole lines from the byte ``offset`` on, at most ``MAX_BATCH`` points, and the byte where they end.

        The last line of a killed run may be half a line; it has no end and is not returned.
        """
        points: list[Point] = []
        if not self._file.exists():
            return points, offset
        with open(self._file, "rb") as file:
            file.seek(offset)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                more = self._points(line)
                if points and len(points) + len(more) > MAX_BATCH:
                    break
                points += more
                offset += len(line)
        return points, offset

    def _points(self, line: bytes) -> list[Point]:
        crc, _, text = line.decode(errors="replace").rstrip("\n").partition(" ")
        if crc != _crc(text):
            raise RecordsError(
                f"{self._file}: a line is damaged: it is not what was written. The rounds themselves are in "
                "tables/rounds.parquet; delete the line to send the others"
            )
        return [Point(*values) for values in json.loads(text)["points"]]

    def last_step(self) -> int:
        """The highest step of all points; 0 if there are none."""
        last, offset = 0, 0
        while True:
            points, end = self.next_batch(offset)
            if end == offset:
                return last
            last, offset = max(last, *(point.step for point in points)), end

    def written_ms(self) -> int | None:
        """When the last line was written; None if there is none. For a killed run, its last sign of life."""
        return int(self._file.stat().st_mtime * 1000) if self._file.exists() else None

    def count(self, offset: int) -> int:
        """Points from the byte ``offset`` on."""
        total = 0
        while True:
            points, end = self.next_batch(offset)
            if end == offset:
                return total
            total, offset = total + len(points), end


@dataclass(frozen=True)
class TrackingState:
    """Where a run is tracked and what of it has arrived there."""

    run_id: str | None
    """None until the store knows of the run."""
    tracking_uri: str
    """Masked: an address with a password has to be given again."""
    host: str
    pid: int
    process_started: float
    """With ``host`` and ``pid``: tells a run that goes on from one that was killed."""
    sent_bytes: int = 0
    """How much of the spool has been sent."""
    ended_ms: int | None = None
    """When the run ended; None while it goes on, or if it was killed."""
    model_id: str | None = None
    delivered: bool = False
    """Artifacts, model and the end of the run have arrived too."""
    goes_on: bool = False
    """The store is yet to be told that another process has taken the run up again."""
    beginning: bool = False
    """The store was asked to create the run; whether it did is not known yet."""


class StateFile:
    """The file of a :class:`TrackingState`; the sender's thread and the main thread share one.

    Attributes:
        begin_lock: held while the store is told of the run: two that do so at once would make two runs of it.
    """

    def __init__(self, run_path: Path, state: TrackingState) -> None:
        self.begin_lock = threading.Lock()
        self._file = run_path / FOLDER / "state.json"
        self._state = state
        self._lock = threading.Lock()

    @classmethod
    def is_there(cls, run_path: Path) -> bool:
        """Whether an earlier process has tracked this run."""
        return (run_path / FOLDER / "state.json").is_file() and (run_path / FOLDER / "begin.json").is_file()

    @classmethod
    def create(cls, run_path: Path, masked_uri: str) -> StateFile:
        """Starts the record of this process's run, or takes that of an earlier process over. Raises OSError."""
        process = psutil.Process()
        (run_path / FOLDER).mkdir(exist_ok=True)
        here = {"host": socket.gethostname(), "pid": process.pid, "process_started": process.create_time()}
        if cls.is_there(run_path):
            opened = cls.open(run_path)
            if opened.state.tracking_uri != masked_uri:  # another store knows nothing of the run
                opened.update(run_id=None, sent_bytes=0, model_id=None, beginning=False)
            opened.update(**here, tracking_uri=masked_uri, ended_ms=None, delivered=False, goes_on=True)
            return opened
        opened = cls(run_path, TrackingState(None, masked_uri, **here))
        opened.update()
        return opened

    @classmethod
    def open(cls, run_path: Path) -> StateFile:
        """The record of an earlier run. Raises RecordsError when the folder has none."""
        file = run_path / FOLDER / "state.json"
        try:
            return cls(run_path, TrackingState(**json.loads(file.read_text(encoding="utf-8"))))
        except (OSError, ValueError, TypeError) as error:
            raise RecordsError(
                f"{run_path} is not the folder of a run that was logged to MLflow: {file} cannot be read ({error}); "
                "give the folder that `fedchunk run` named at its end"
            ) from error

    @property
    def state(self) -> TrackingState:
        """As it is on the disk."""
        return self._state

    def update(self, **changes: Any) -> None:
        """Replaces fields and the file. Raises OSError; then only the file is old."""
        with self._lock:
            self._state = dataclasses.replace(self._state, **changes)
            write_text_atomically(self._file, json.dumps(dataclasses.asdict(self._state), indent=2) + "\n")


def still_running(state: TrackingState) -> bool:
    """Whether the process that records the run is alive; one on another machine is taken to be, if it has not ended."""
    return state.ended_ms is None and is_alive(state.host, state.pid, state.process_started)


def is_alive(host: str, pid: int, process_started: float) -> bool:
    """Whether a process lives; one on another machine is taken to."""
    if host != socket.gethostname():
        return True
    try:
        return bool(abs(psutil.Process(pid).create_time() - process_started) < 1)
    except psutil.NoSuchProcess:
        return False
