"""Checkpoints in a run's folder: everything that the next round needs, and nothing that can be computed again.

    checkpoints/round-00012.json                what belongs to it, with the size and SHA-256 of each file; written last
    checkpoints/coordinator-00012.safetensors   the coordinator: its model, who knows what, what is left of a budget
    checkpoints/states/00012-0003.safetensors   what the clients of one call remember; shared by later checkpoints for
                                                as long as none of them has trained again

A checkpoint is written by a thread of its own while later rounds run, state by state, so that ten thousand clients
never lie in one process. Its round is in the tables before it counts.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.numpy import save

from fedchunk.orchestrator.contract.ports import Snapshot, Stored
from fedchunk.orchestrator.contract.trees import NotStorable, pack, unpack
from fedchunk.orchestrator.core.errors import RecordsError
from fedchunk.orchestrator.recording.atomic import write_atomically, write_text_atomically

logger = logging.getLogger(__name__)

FOLDER = "checkpoints"
FORMAT = 4
"""Of what is in them, also of what coordinators, clients and rules keep."""
RESERVED_SHARE = 0.01
"""Of the time, what checkpoints may take where the settings do not say how often."""
RESERVED_BYTES = 500_000_000
"""Of the disk, what checkpoints leave for the tables."""
SHORTEST_PAUSE_S = 5.0
"""Between two checkpoints, where the settings do not say how often."""
EXPECTED_BYTES_PER_S = 50e6
"""How fast states are written, before a checkpoint says how fast: an estimate, beside training on two cores."""
POLL_S = 0.05
FINISH_LIMIT_S = 120.0
"""Longest wait for the last checkpoint at the end of a run."""


@dataclass(frozen=True)
class File:
    """A file of a checkpoint."""

    name: str
    """Below the folder of checkpoints."""
    sha256: str


class Checkpoints:
    """Writes and finds the checkpoints of one run."""

    def __init__(
        self,
        run_path: Path,
        interval: int | None,
        to_keep: int,
        recorded: Callable[[], int] = lambda: 2**31,
        states: int = 0,
    ) -> None:
        """
        Args:
            run_path: the run's folder.
            interval: rounds between two; 0: none; None: as many as cost :data:`RESERVED_SHARE` of the time.
            to_keep: how many are kept.
            recorded: the last round that is in the tables.
            states: clients that have something to remember.
        """
        self._folder = run_path / FOLDER
        self._interval, self._to_keep, self._recorded, self._states = interval, to_keep, recorded, states
        self._files: dict[str, File] = {}
        self._wanted: set[int] = set()
        self._thread: threading.Thread | None = None
        self._began, self._took_s = time.monotonic(), 0.0
        self._closing = False
        self._warned = False

    def expect(self, model_bytes: int) -> None:
        """How large the model is, and so about how long the first checkpoint takes; later ones as long as the last."""
        self._took_s = self._took_s or model_bytes * (1 + self._states) / EXPECTED_BYTES_PER_S

    def wants(self, round_index: int) -> bool:
        """Whether there should be one after a round that is about to begin."""
        if self._interval is None:
            pause_s = max(SHORTEST_PAUSE_S, self._took_s / RESERVED_SHARE)
            due = time.monotonic() - self._began >= pause_s and not self._is_busy
        else:
            due = bool(self._interval) and round_index % self._interval == 0
        if due:
            self._began = time.monotonic()
            self._wanted.add(round_index)
        return due

    def is_wanted(self, round_index: int) -> bool:
        """Whether :meth:`wants` said so."""
        return round_index in self._wanted

    def write_soon(self, snapshot: Snapshot) -> None:
        """Begins to write one; where the one before is not done, this one is left out."""
        if not self._is_busy:
            self._thread = threading.Thread(target=self._try, args=(snapshot,), name="fedchunk-checkpoint", daemon=True)
            self._thread.start()

    def finish(self, snapshot: Snapshot | None, hurried: Callable[[], bool] = lambda: False) -> None:
        """Writes the last one, or at least ends what is being written. Waits, unless somebody is in a hurry."""
        self._closing = True
        until = time.monotonic() + FINISH_LIMIT_S
        for last in (None, snapshot):
            if last is not None and self._interval != 0:
                self.write_soon(last)
            while self._is_busy and not hurried() and time.monotonic() < until:
                time.sleep(POLL_S)

    def newest(self, at_most: int) -> Snapshot | None:
        """The newest whole checkpoint of a round up to ``at_most``; a damaged one is said and passed over."""
        while self._is_busy:
            time.sleep(POLL_S)
        return newest_checkpoint(self._folder, at_most)

    @property
    def _is_busy(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _try(self, snapshot: Snapshot) -> None:
        started = time.monotonic()
        try:
            self._write(snapshot)
        except NotStorable as error:
            self._interval = 0
            logger.warning("no checkpoints: %s. The run can only be begun again, not resumed.", error)
        except Exception as error:  # a full disk, an object that went with its node: the next one may be better
            if not self._warned:
                self._warned = True
                logger.warning(
                    "%s: the checkpoint of round %d could not be written (%s). The run goes on.",
                    self._folder, snapshot.round_index, error,
                )  # fmt: skip
            with contextlib.suppress(OSError):  # what there is of it is of no use
                prune(self._folder, self._to_keep)
        self._took_s = time.monotonic() - started

    def _write(self, snapshot: Snapshot) -> None:
        at = snapshot.round_index
        (self._folder / "states").mkdir(parents=True, exist_ok=True)
        files = {one.key: self._state_file(at, number, one) for number, one in enumerate(snapshot.objects)}
        coordinator = self._save(f"coordinator-{at:05d}.safetensors", dict(snapshot.coordinator))
        while self._recorded() < at and not self._closing:
            time.sleep(POLL_S)
        body = {
            "format": FORMAT,
            "round": at,
            "coordinator": [coordinator.name, coordinator.sha256],
            "states": [[files[one.key].name, files[one.key].sha256] for one in snapshot.objects],
        }
        write_text_atomically(_manifest(self._folder, at), json.dumps({**body, "sha256": _digest(body)}) + "\n")
        self._files = files
        prune(self._folder, self._to_keep)

    def _state_file(self, at: int, number: int, one: Stored) -> File:
        known = self._files.get(one.key)
        return known or self._save(f"states/{at:05d}-{number:05d}.safetensors", one.load())

    def _save(self, name: str, value: Any) -> File:
        plain, arrays = pack(value)
        content = save(arrays, {"value": json.dumps(plain)})
        if shutil.disk_usage(self._folder).free - len(content) < RESERVED_BYTES:
            raise OSError(f"less than {RESERVED_BYTES // 10**6} MB of the disk would be left; results come first")
        write_atomically(self._folder / name, lambda temporary: temporary.write_bytes(content))
        return File(name, hashlib.sha256(content).hexdigest())


@dataclass(frozen=True)
class _Kept:
    """A state in its file."""

    folder: Path
    file: File

    @property
    def key(self) -> str:
        return self.file.sha256

    def load(self) -> Any:
        return _load(self.folder, self.file)


def newest_checkpoint(folder: Path, at_most: int = 2**31) -> Snapshot | None:
    """The newest whole checkpoint in a folder of checkpoints, of a round up to ``at_most``."""
    for manifest in reversed(_manifests(folder)):
        if _round_of(manifest) > at_most:
            continue
        try:
            return _read(folder, manifest)
        except RecordsError as damage:
            logger.warning("%s. An older checkpoint is used, or none.", damage)
    return None


def kept_rounds(folder: Path) -> list[int]:
    """The rounds of which there are checkpoints, ascending; whether they are whole, is not looked at."""
    return [_round_of(manifest) for manifest in _manifests(folder)]


def files_of(folder: Path, round_index: int) -> list[str]:
    """The files of a checkpoint, below the folder; its manifest comes last."""
    manifest = _manifest(folder, round_index)
    return [*_names(manifest), manifest.name]


def digest_of_checkpoint(folder: Path, round_index: int) -> str:
    """SHA-256 of a whole checkpoint, which names that of each file. Raises RecordsError."""
    return _digest(_body(_manifest(folder, round_index)))


def prune(folder: Path, to_keep: int) -> None:
    """Removes all but the newest checkpoints, and the files that belong to none. Raises OSError."""
    manifests = _manifests(folder)
    for manifest in manifests[: len(manifests) - to_keep]:
        manifest.unlink()
    used = {name for manifest in manifests[-to_keep:] for name in _names(manifest)}
    for file in (*folder.glob("coordinator-*.safetensors"), *folder.glob("states/*.safetensors")):
        if file.relative_to(folder).as_posix() not in used:
            file.unlink(missing_ok=True)


def _names(manifest: Path) -> Sequence[str]:
    try:
        body = json.loads(manifest.read_text(encoding="utf-8"))
        return [name for name, _ in (body["coordinator"], *body["states"])]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _body(manifest: Path) -> dict[str, Any]:
    try:
        body: dict[str, Any] = json.loads(manifest.read_text(encoding="utf-8"))
        digest = body.pop("sha256")
        sound, written_as = digest == _digest(body), body["format"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RecordsError(f"{manifest} is damaged ({error})") from error
    if not sound:
        raise RecordsError(f"{manifest} is damaged: it does not have the SHA-256 that it names")
    if written_as != FORMAT:
        raise RecordsError(f"{manifest} is of another version of fedchunk: its format is {written_as}, not {FORMAT}")
    return body


def _read(folder: Path, manifest: Path) -> Snapshot:
    body = _body(manifest)
    states = [_Kept(folder, File(*entry)) for entry in body["states"]]
    of_coordinator = File(*body["coordinator"])
    for file in (of_coordinator, *(one.file for one in states)):
        _check(folder, file)
    coordinator: Mapping[str, Any] = _load(folder, of_coordinator)
    return Snapshot(body["round"], coordinator, states)


def _check(folder: Path, file: File) -> None:
    try:
        with (folder / file.name).open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise RecordsError(f"{folder / file.name} cannot be read ({error})") from error
    if digest != file.sha256:
        raise RecordsError(f"{folder / file.name} is damaged: its SHA-256 is not the one that was written down")


def _load(folder: Path, file: File) -> Any:
    with safe_open(folder / file.name, framework="numpy") as opened:
        arrays = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - it is no mapping
        plain = json.loads(opened.metadata()["value"])
    return unpack(plain, arrays)


def _digest(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _manifest(folder: Path, round_index: int) -> Path:
    return folder / f"round-{round_index:05d}.json"


def _manifests(folder: Path) -> list[Path]:
    return sorted(folder.glob("round-*.json"), key=_round_of)


def _round_of(manifest: Path) -> int:
    return int(manifest.stem.removeprefix("round-"))
