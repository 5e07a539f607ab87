"""The folder of a run: everything that is known of it, readable with no server and no fedchunk.

config.yaml            the resolved settings, secrets masked; config.json holds the same for programs
tables/<name>.parquet  the tables (see recording.table_files for how they grow), and ``profile``
components/            the sources of users' own components, as they were
weights.safetensors    the final global model, one tensor per parameter and buffer
summary.json           how the run ended; status "running" until then
"""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from safetensors.numpy import save_file

from fedchunk.orchestrator.contract.messages import ModelSpec, ModelState, RoundResult
from fedchunk.orchestrator.contract.ports import FederationInfo, RunSummary
from fedchunk.orchestrator.core.errors import ConfigError, Fault, RecordsError
from fedchunk.orchestrator.core.masking import mask_settings, mask_text
from fedchunk.orchestrator.core.records import SCHEMA_VERSION
from fedchunk.orchestrator.recording import table_files
from fedchunk.orchestrator.recording.atomic import write_atomically, write_text_atomically
from fedchunk.orchestrator.settings.whole import Settings

logger = logging.getLogger(__name__)

RUNS_FOLDER = Path("runs")
"""Where runs go that were given no folder, below the current one."""


class RunFolder:
    """Records a run in its folder (a :class:`contract.ports.Recorder`). Made by :meth:`create`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        """The folder, absolute."""
        self.unwritten = 0
        """Things that could not be written after the start (a full disk); each round counts once."""

    @classmethod
    def create(cls, path: Path | None, settings: Settings, config_yaml: str) -> RunFolder:
        """Makes the folder with the settings in it and the status "running".

        Args:
            path: the folder to use, new or empty. None: a new one, ``runs/<time>-<name>`` (:func:`default_name`).
            settings: the resolved settings.
            config_yaml: the same as the text of a settings file.

        Raises:
            ConfigError: the folder holds something already, or cannot be made.
        """
        try:
            folder = _make_default(default_name(settings)) if path is None else _make_given(path)
            write_text_atomically(folder / "config.yaml", mask_text(_with_kept_sources(config_yaml, settings)))
            config = mask_settings(settings.flat()) | {
                "method": settings.method_facts(),
                "components": settings.components.described,
            }
            write_text_atomically(folder / "config.json", json.dumps(config, indent=2) + "\n")
            _write_sources(folder, settings)
            table_files.begin(folder / "tables")
            _write_summary(folder, _running())
        except OSError as error:
            where = "--output" if path else str(RUNS_FOLDER)
            raise ConfigError(
                [Fault(where, "", f"the run's folder cannot be written ({error}); choose another one with --output")]
            ) from error
        return cls(folder.resolve())

    def start(self, info: FederationInfo) -> None:
        """Writes the layout. Raises RecordsError when the folder cannot be written."""
        try:
            table_files.write_table(self.path / "tables", "layout", info.layout)
        except (OSError, pa.ArrowException) as error:
            raise RecordsError(f"{self.path}: the layout table cannot be written ({error})") from error

    def record_rounds(self, results: Sequence[RoundResult]) -> None:
        """Adds rounds to the tables; on the disk when this returns."""
        first, last = results[0].round_index, results[-1].round_index
        self._attempt(
            f"round {first}" if first == last else f"rounds {first} to {last}",
            lambda: table_files.append_rounds(self.path / "tables", first, [result.tables for result in results]),
        )

    def finish(self, summary: RunSummary, spec: ModelSpec | None, model: ModelState | None) -> None:
        """Writes the weights, makes each table one file, and says last of all how the run ended."""
        if spec is not None and model is not None:
            self._attempt("the weights", lambda: _write_weights(self.path, spec, model, summary.weights_sha256 or ""))
        self._attempt("the joined tables", lambda: table_files.compact(self.path / "tables"))
        self._attempt("the summary", lambda: _write_summary(self.path, summary))

    def _attempt(self, what: str, write: Callable[[], None]) -> None:
        """Records must never end a run: the first failure is a warning, all are counted."""
        try:
            write()
        except (OSError, pa.ArrowException) as error:
            self.unwritten += 1
            if self.unwritten == 1:
                logger.warning(
                    "%s: %s could not be written (%s). The run goes on; what was written before is kept.",
                    self.path, what, error,
                )  # fmt: skip


def default_name(settings: Settings) -> str:
    """What a run is called that was given no name: ``federation_id``, or model and data set."""
    return settings.federation.federation_id or f"{settings.training.model_type}-{settings.data.dataset_type}"


def tensors_by_name(spec: ModelSpec, model: ModelState) -> dict[str, NDArray[np.generic]]:
    """A model's flat values as one array per parameter and buffer, by its name and in its shape."""
    tensors: dict[str, NDArray[np.generic]] = {
        parameter.name: model.weights_P[parameter.start : parameter.stop].reshape(parameter.shape)
        for parameter in spec.parameters
    }
    for buffer in spec.buffers:
        source: NDArray[np.generic] = model.counters_I if buffer.is_integer else model.buffers_B
        tensors[buffer.name] = source[buffer.start : buffer.stop].reshape(buffer.shape)
    return tensors


def summary_json(summary: RunSummary) -> str:
    """The summary as JSON; a number that JSON does not have (nan, inf) becomes null, addresses are masked."""
    values = dataclasses.asdict(summary)
    for key, value in values.items():
        if isinstance(value, float) and not math.isfinite(value):
            values[key] = None
    return json.dumps(mask_settings(values), indent=2, allow_nan=False)


def _make_given(path: Path) -> Path:
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise ConfigError(
            [Fault("--output", "", f"{path} holds something already; runs are never overwritten: give a new folder")]
        )
    path.mkdir(parents=True, exist_ok=True)
    return path


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
            return folder
        except FileExistsError:
            number += 1


def _running() -> RunSummary:
    return RunSummary("running", 0, None, None, None, 0, 0, 0, 0, 0.0, None)


def _write_summary(folder: Path, summary: RunSummary) -> None:
    write_text_atomically(folder / "summary.json", summary_json(summary) + "\n")


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


def _write_weights(folder: Path, spec: ModelSpec, model: ModelState, weights_sha256: str) -> None:
    metadata = {"weights_sha256": weights_sha256, "fedchunk_schema_version": SCHEMA_VERSION}
    write_atomically(
        folder / "weights.safetensors", lambda temporary: save_file(tensors_by_name(spec, model), temporary, metadata)
    )
