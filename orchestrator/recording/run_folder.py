"""The folder of a run: everything that is known of it, readable with no server and no fedchunk.

config.yaml            the resolved settings, secrets masked; config.json holds the same for programs
tables/<name>.parquet  the tables (see recording.table_files for how they grow), and ``profile``
components/            the sources of users' own components, as they were
weights.safetensors    the final global model, one tensor per parameter and buffer
summary.json           how the run ended; status "running" until then
manifest.json          the SHA-256 of each of these, written last; readers compare (core.manifest)
checkpoints/           what a run that goes on begins with (recording.checkpoints)
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from filelock import FileLock, Timeout
from numpy.typing import NDArray
from safetensors.numpy import save_file

from fedchunk.orchestrator.contract.messages import ModelSpec, ModelState, RoundResult
from fedchunk.orchestrator.contract.named_tensors import Tensors, tensors_by_name
from fedchunk.orchestrator.contract.ports import FederationInfo, RunSummary
from fedchunk.orchestrator.core import manifest
from fedchunk.orchestrator.core.errors import ConfigError, Fault, RecordsError
from fedchunk.orchestrator.core.masking import mask_settings, mask_text
from fedchunk.orchestrator.core.model_files import model_files
from fedchunk.orchestrator.core.records import ROUND_TABLES, SCHEMA_VERSION
from fedchunk.orchestrator.recording import table_files
from fedchunk.orchestrator.recording.atomic import write_atomically, write_text_atomically
from fedchunk.orchestrator.recording.summary_file import claim, running, write_summary
from fedchunk.orchestrator.settings.whole import Settings
from fedchunk.orchestrator.settings.yaml_source import written_value

logger = logging.getLogger(__name__)

RUNS_FOLDER = Path("runs")
"""Where runs go that were given no folder, below the current one."""

MOST_WAITING_BYTES = 512_000_000
"""Tables of rounds that could not be written yet; beyond it the oldest are given up."""

LOCK = ".lock"
"""Held by the process that records into a run's folder."""


class RunFolder:
    """Records a run in its folder (a :class:`contract.ports.Recorder`). Made by :meth:`create`.

    Records must never end a run: what cannot be written is kept in memory and tried again with every later round. What
    is missing in the end is in ``unwritten``, in the summary and in the exit code.
    """

    name = "the run's folder"

    def __init__(self, path: Path) -> None:
        self.path = path
        """The folder, absolute."""
        self.rows: list[dict[str, Any]] = []
        """What was recorded of rounds before this process: their rows of the ``rounds`` table."""
        self.recorded_to = 0
        """The last round up to which all are on the disk."""
        self.forked_from = _origin(path)
        """What is recorded of the run that it branched off; None where it did not."""
        self._lock = locked(path)
        self._waiting: list[RoundResult] = []
        self._dropped: list[int] = []
        self._failed: list[str] = []
        self._frozen: Tensors = {}
        self._warned = False
        self.finished = False
        """Whether it is said in the folder how the run ended."""

    @classmethod
    def create(
        cls, path: Path | None, settings: Settings, config_yaml: str, forked_from: Mapping[str, Any] | None = None
    ) -> RunFolder:
        """Makes the folder with the settings in it and the status "running".

        Args:
            path: the folder to use, new or empty. None: a new one, ``runs/<time>-<name>`` (:func:`default_name`).
            settings: the resolved settings.
            config_yaml: the same as the text of a settings file.
            forked_from: the run, round and state that the run branches off, for the records.

        Raises:
            ConfigError: the folder holds something already, or cannot be made.
        """
        try:
            folder = _make_default(default_name(settings)) if path is None else _make_given(path)
            write_text_atomically(folder / "config.yaml", mask_text(_with_kept_sources(config_yaml, settings)))
            config = mask_settings(settings.flat()) | {
                "method": settings.method_facts(),
                "components": settings.components.described,
                "target": settings.target_record(),
            }
            if (first := settings.federation.initial_file) is not None and Path(first).expanduser().is_file():
                config["initial_model_sha256"] = manifest.digest_of(Path(first).expanduser())
            if (of_model := settings.model_folder) is not None:
                config["model_files"] = model_files(Path(of_model).expanduser())
            if forked_from is not None:
                config["forked_from"] = mask_settings(dict(forked_from))
            write_text_atomically(folder / "config.json", json.dumps(config, indent=2) + "\n")
            _write_sources(folder, settings)
            table_files.begin(folder / "tables")
        except OSError as error:
            where = "--output" if path else str(RUNS_FOLDER)
            raise ConfigError(
                [Fault(where, "", f"the run's folder cannot be written ({error}); choose another one with --output")]
            ) from error
        return cls(folder.resolve())

    @classmethod
    def reopen(cls, path: Path, changed: Mapping[str, Any], last_round: int | None = None) -> RunFolder:
        """The folder of a run that goes on, with the status "running" and tables that grow again.

        Args:
            path: the run's folder.
            changed: settings that are not what they were.
            last_round: what is recorded of later rounds is forgotten; None: nothing is.

        Raises:
            ConfigError: another process has it, or it cannot be written.
            RecordsError: a table is damaged.
        """
        try:
            folder = cls(path.resolve())
            tables = folder.path / "tables"
            for name in (*ROUND_TABLES, "layout"):
                manifest.check(folder.path, tables / f"{name}.parquet")  # once it is removed, nobody can
            (folder.path / manifest.NAME).unlink(missing_ok=True)
            table_files.reopen(tables)
            rows = table_files.recorded(tables)
            kept = len(rows) if last_round is None else min(last_round, len(rows))
            table_files.cut(tables, kept)
            folder.take_over(rows[:kept])
            _change_settings(folder.path, changed)
            write_summary(folder.path, running())
        except (OSError, pa.ArrowException) as error:
            raise ConfigError([Fault(str(path), "", f"the run cannot be resumed in its folder ({error})")]) from error
        return folder

    def take_over(self, rows: list[dict[str, Any]]) -> None:
        """The rows of ``rounds`` that are in the tables, recorded by others."""
        self.rows, self.recorded_to = rows, len(rows)

    def past(self) -> list[tuple[dict[str, Any], pa.Table]]:
        """Each round that was recorded before this process: its row of ``rounds`` and its rows of ``metrics``."""
        if not self.rows:
            return []
        own = table_files.read(self.path / "tables", "metrics").sort_by("round")
        rounds = [row["round"] for row in self.rows]
        first, stop = (np.searchsorted(own["round"].to_numpy(), rounds, side) for side in ("left", "right"))
        parts = (own.slice(begin, end - begin) for begin, end in zip(first.tolist(), stop.tolist(), strict=True))
        return list(zip(self.rows, parts, strict=True))

    def close(self) -> None:
        """Another process may have the folder."""
        self._lock.release()

    @property
    def unwritten(self) -> tuple[str, ...]:
        """What is missing on the disk, in words."""
        rounds = [*self._dropped, *(result.round_index for result in self._waiting)]
        return (*_ranges(rounds), *self._failed)

    def start(self, info: FederationInfo) -> None:
        """Writes the layout. Raises RecordsError when the folder cannot be written."""
        self._frozen = info.frozen
        try:
            table_files.write_table(self.path / "tables", "layout", info.layout)
        except (OSError, pa.ArrowException) as error:
            raise RecordsError(f"{self.path}: the layout table cannot be written ({error})") from error

    def record_rounds(self, results: Sequence[RoundResult]) -> None:
        """Adds rounds to the tables; on the disk when this returns, or kept for the next time."""
        self._waiting += results
        if self._attempt(f"round {self._waiting[0].round_index} and later ones", self._write_waiting):
            return
        while len(self._waiting) > 1 and sum(map(_num_bytes, self._waiting)) > MOST_WAITING_BYTES:
            self._dropped.append(self._waiting.pop(0).round_index)

    def finish(self, summary: RunSummary, spec: ModelSpec | None, model: ModelState | None) -> None:
        """Writes the weights, makes each table one file, and says last of all how the run ended."""
        self.finished = True
        self._attempt("the last rounds", self._write_waiting)
        steps: list[tuple[str, Callable[[], None]]] = [
            ("the joined tables", lambda: table_files.compact(self.path / "tables"))
        ]
        if spec is not None and model is not None:
            tensors = {**tensors_by_name(spec, model), **self._frozen}
            write = partial(_write_weights, self.path, tensors, summary.weights_sha256 or "")
            steps.insert(0, ("the weights", write))
        for what, step in steps:
            if not self._attempt(what, step):
                self._failed.append(what)
        ended = dataclasses.replace(summary, unwritten=self.unwritten, forked_from=self.forked_from)
        if not self._attempt("the summary", lambda: write_summary(self.path, ended)):
            self._failed.append("the summary")
        if not self._attempt("the manifest", lambda: _write_manifest(self.path)):
            self._failed.append("the manifest")

    def _write_waiting(self) -> None:
        if self._waiting:
            first = self._waiting[0].round_index
            table_files.append_rounds(self.path / "tables", first, [result.tables for result in self._waiting])
            if first == self.recorded_to + 1:
                self.recorded_to = self._waiting[-1].round_index
            self._waiting = []

    def _attempt(self, what: str, write: Callable[[], None]) -> bool:
        """Whether it could be written; the first failure is a warning."""
        try:
            write()
        except Exception as error:  # the disk's, arrow's, safetensors': whichever, records never end a run
            if not self._warned:
                self._warned = True
                logger.warning(
                    "%s: %s could not be written (%s). The run goes on; it is kept in memory and tried again.",
                    self.path, what, error,
                )  # fmt: skip
            return False
        return True


def is_in_use(path: Path) -> bool:
    """Whether a process on this machine, or another one with the same disk, is recording into the folder."""
    lock = FileLock(path / LOCK)
    try:
        with lock.acquire(timeout=0):
            return False
    except Timeout:
        return True
    except (OSError, NotImplementedError):
        return False  # a disk that cannot be written or knows no locks: nobody can be kept out


def _origin(path: Path) -> Mapping[str, Any] | None:
    """What ``config.json`` says of where the run branched off."""
    file = path / "config.json"
    origin: Mapping[str, Any] | None = json.loads(file.read_text(encoding="utf-8")).get("forked_from")
    return origin


def locked(path: Path) -> FileLock:
    """Keeps every other process out for as long as this one lives."""
    lock = FileLock(path / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        message = "another process is recording into this folder; wait for it, or end it"
        raise ConfigError([Fault(str(path), "", message)]) from None
    except (OSError, NotImplementedError) as error:  # some network file systems know no locks
        logger.warning("%s: nobody can be kept out of it (%s); do not resume a run that goes on.", path, error)
    return lock


def _change_settings(folder: Path, changed: Mapping[str, Any]) -> None:
    if not changed:
        return
    file = folder / "config.json"
    values = json.loads(file.read_text(encoding="utf-8")) | mask_settings(dict(changed))
    write_text_atomically(file, json.dumps(values, indent=2) + "\n")
    lines = (folder / "config.yaml").read_text(encoding="utf-8").splitlines()
    fresh = {key: f"{key}: {written_value(value)}" for key, value in mask_settings(dict(changed)).items()}
    text = "\n".join(fresh.get(line.partition(":")[0], line) for line in lines)
    write_text_atomically(folder / "config.yaml", text + "\n")


def _num_bytes(result: RoundResult) -> int:
    return sum(table.nbytes for table in result.tables.values())


def _ranges(rounds: Sequence[int]) -> list[str]:
    """Rounds in words.

    Example:
        >>> _ranges([3, 4, 5, 9])
        ['rounds 3 to 5', 'round 9']
    """
    words: list[str] = []
    for _, group in itertools.groupby(enumerate(sorted(rounds)), lambda pair: pair[1] - pair[0]):
        run = [number for _, number in group]
        words.append(f"round {run[0]}" if len(run) == 1 else f"rounds {run[0]} to {run[-1]}")
    return words


def default_name(settings: Settings) -> str:
    """What a run is called that was given no name: ``federation_id``, or model and data set."""
    return settings.federation.federation_id or f"{settings.training.model_type}-{settings.data.dataset_type}"


def _make_given(path: Path) -> Path:
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise _taken(path)
    path.mkdir(parents=True, exist_ok=True)
    try:
        claim(path)
    except FileExistsError:
        raise _taken(path) from None
    return path


def _taken(path: Path) -> ConfigError:
    return ConfigError(
        [Fault("--output", "", f"{path} holds something already; runs are never overwritten: give a new folder")]
    )


def _make_default(run_name: str) -> Path:
    """A folder that no other run has, also when several start in one second."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    name = f"{stamp}-{re.sub(r'[^A-Za-z0-9._-]+', '-', run_name)[:60].strip('-.') or 'run'}"
    RUNS_FOLDER.mkdir(exist_ok=True)
    number = 1
    while True:
        folder = RUNS_FOLDER / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir()
            claim(folder)
            return folder
        except FileExistsError:
            number += 1


def _write_manifest(folder: Path) -> None:
    files = [folder / name for name in ("config.yaml", "config.json", "weights.safetensors", "summary.json")]
    tables = [folder / "tables" / f"{name}.parquet" for name in (*ROUND_TABLES, "layout")]
    sources = folder.glob("components/**/*.py")
    whole = [file for file in (*files, *tables, *sources) if file.is_file()]
    write_text_atomically(folder / manifest.NAME, manifest.manifest_text(folder, whole))


def _write_sources(folder: Path, settings: Settings) -> None:
    """The files that users' components came from, each version in a folder of its own."""
    for one in settings.components.own:
        for name, text in one.files:
            file = folder / "components" / one.sha256[:8] / name
            if text and not file.exists():
                file.parent.mkdir(parents=True, exist_ok=True)
                write_text_atomically(file, text)


def _with_kept_sources(config_yaml: str, settings: Settings) -> str:
    """The settings with places that lead into the run's own folder, so that they can be run again from there."""
    for one in settings.components.own:
        if one.file and one.name.rpartition(":")[0].endswith(".py") and one.files:
            kept = f"./components/{one.sha256[:8]}/{one.files[0][0]}:{one.name.rpartition(':')[2]}"
            config_yaml = config_yaml.replace(f'"{one.name}"', f'"{kept}"')
    return config_yaml


def _write_weights(folder: Path, tensors: dict[str, NDArray[np.generic]], weights_sha256: str) -> None:
    metadata = {"weights_sha256": weights_sha256, "fedchunk_schema_version": SCHEMA_VERSION}
    write_atomically(folder / "weights.safetensors", lambda temporary: save_file(tensors, temporary, metadata))
