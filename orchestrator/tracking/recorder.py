"""Records a run in MLflow: one run per experiment, two calls a round at most, and the network never holds a round up.

A round's metrics are a line in the run's folder (:mod:`fedchunk.orchestrator.tracking.spool`) from the first second,
whatever the store says; a thread sends them on (:mod:`fedchunk.orchestrator.tracking.sender`). What cannot be sent
waits for :func:`fedchunk.orchestrator.tracking.sync.sync`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import psutil
import pyarrow as pa

from fedchunk.orchestrator.contract.messages import ModelSpec, ModelState, RoundResult
from fedchunk.orchestrator.contract.ports import FederationInfo, RunSummary
from fedchunk.orchestrator.core.errors import RecordsError, TrackingError
from fedchunk.orchestrator.core.masking import mask_uri
from fedchunk.orchestrator.settings.running import TrackingSettings
from fedchunk.orchestrator.tracking.beginning import Beginning
from fedchunk.orchestrator.tracking.delivery import deliver
from fedchunk.orchestrator.tracking.description import PARENT_TAG, describe, fork_tags
from fedchunk.orchestrator.tracking.metrics import own_metrics, round_metrics, system_metrics
from fedchunk.orchestrator.tracking.sender import Sender
from fedchunk.orchestrator.tracking.spool import MAX_BATCH, Point, Spool, StateFile
from fedchunk.orchestrator.tracking.store import open_store
from fedchunk.orchestrator.tracking.uri import resolve_store

logger = logging.getLogger(__name__)

_FINISH_LIMIT_S = 5.0
"""How long a run that has ended waits for its metrics to arrive."""


def _points_of(metrics: Mapping[str, float], round_index: int) -> list[Point]:
    now_ms = time.time_ns() // 1_000_000
    return [Point(key, value, round_index, now_ms) for key, value in metrics.items()]


class MlflowRecorder:
    """Records a run in MLflow (a :class:`contract.ports.Recorder`). :meth:`upload` comes after ``finish``.

    Args:
        tracking: the section of the settings.
        flat_settings: all settings by their flat names; they become parameters.
        run_path: the run's folder; what waits to be sent is kept there.
        tracking_uri: the store; None: the one of the settings, else ``sqlite:///mlflow.db`` in the current folder.
        components: what users' own components are: setting -> name, place and SHA-256; they become tags.
        past: of a run that goes on, each round's row of ``rounds`` and its rows of ``metrics``.
        parent_run: the run in MLflow that this one is a part of.
        forked_from: where the run branched off another one; becomes tags.
    """

    name = "MLflow"

    def __init__(
        self,
        tracking: TrackingSettings,
        flat_settings: Mapping[str, Any],
        run_path: Path,
        tracking_uri: str | None = None,
        components: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
        *,
        past: Sequence[tuple[Mapping[str, object], pa.Table]] = (),
        parent_run: str | None = None,
        forked_from: Mapping[str, Any] | None = None,
    ) -> None:
        self._uri = resolve_store(tracking_uri or tracking.mlflow_tracking_uri)
        self._experiment = tracking.mlflow_experiment_prefix
        self._finish_limit_s = tracking.mlflow_finish_timeout_s
        self._flat_settings = flat_settings
        self._components = components
        self._run_path = run_path.resolve()
        self._spool = Spool(self._run_path)
        self._totals: dict[str, float] = {}
        self._warned = False
        self._state_file: StateFile | None = None
        self._sender: Sender | None = None
        self._until = 0.0
        self._waiting: list[Point] = []
        self._spooled_to = 0
        self._past, self._parent_run = past, parent_run
        self._fork_tags = fork_tags(forked_from) if forked_from else {}

    @property
    def tracking_uri(self) -> str:
        """The store, masked."""
        return mask_uri(self._uri)

    @property
    def run_id(self) -> str | None:
        """MLflow's name of the run; None until the store knows of it."""
        return self._state_file.state.run_id if self._state_file else None

    def start(self, info: FederationInfo) -> None:
        """Writes down what the store is to be told, and starts telling it; waits for nothing. Raises OSError."""
        begun_ms = time.time_ns() // 1_000_000
        known = StateFile.is_there(self._run_path)
        state_file = StateFile.create(self._run_path, self.tracking_uri)
        if not known:
            description = describe(self._flat_settings, info, self._run_path, self._components)
            below = {PARENT_TAG: self._parent_run} if self._parent_run is not None else {}
            description = replace(description, tags={**description.tags, **self._fork_tags, **below})
            Beginning.of(self._experiment, begun_ms, description).save(self._run_path)
        self._state_file = state_file
        self._catch_up()
        self._sender = Sender(lambda: open_store(self._uri), self._run_path, state_file)
        self._sender.start()
        psutil.cpu_percent()  # the load of a round is measured since the call before

    def record_rounds(self, results: Sequence[RoundResult]) -> None:
        """Puts the rounds' metrics into the spool and returns; a thread sends them."""
        # Those that the spool had before the tables did only add to the bytes so far.
        known = [(result, self._points(result.summary, result.tables["metrics"])) for result in results]
        points = [point for result, own in known if result.round_index > self._spooled_to for point in own]
        if not points:
            return
        points += _points_of(system_metrics(self._run_path), results[-1].round_index)
        self._keep(points)
        if self._sender is not None:
            self._sender.wake()

    def _points(self, row: Mapping[str, object], own: pa.Table) -> list[Point]:
        return _points_of(round_metrics(row, self._totals) | own_metrics(own), int(str(row["round"])))

    def _keep(self, points: list[Point]) -> None:
        """Puts points into the spool. What the disk does not take is kept here, and tried again with what follows."""
        self._waiting += points
        try:
            for first in range(0, len(self._waiting), MAX_BATCH):
                self._spool.append(self._waiting[first : first + MAX_BATCH])
            self._waiting = []
        except OSError as error:
            self._warn("the metrics of round %d could not be kept for MLflow (%s)", self._waiting[-1].step, error)

    def _catch_up(self) -> None:
        """Of a run that goes on: what its tables have and the spool does not, and the bytes so far."""
        spooled = self._spool.last_step()
        for row, own in self._past:
            points = self._points(row, own)
            if int(str(row["round"])) > spooled:
                self._keep(points)
        self._spooled_to = spooled

    def finish(self, summary: RunSummary, spec: ModelSpec | None, model: ModelState | None) -> None:
        """Waits a few seconds for the metrics to arrive; what does not is left to :meth:`upload` and ``sync``.

        The run is still open then: it ends once its artifacts are there, in :meth:`upload`.
        """
        self._until = time.monotonic() + self._finish_limit_s
        if self._sender is None or self._state_file is None:
            return
        if self._waiting:
            self._keep([])  # perhaps the disk has room again
        self._sender.stop(min(_FINISH_LIMIT_S, self._finish_limit_s))
        try:
            self._state_file.update(ended_ms=time.time_ns() // 1_000_000)
        except OSError as error:
            self._warn("the end of the run could not be noted (%s)", error)

    def upload(self) -> bool:
        """Uploads the run's folder, logs its final model and ends it; True if everything has arrived.

        To be called after ``finish`` and after everything that belongs into the folder is there (the report).
        Does not raise when the store is away, and does not wait longer than ``mlflow_finish_timeout_s`` since the end
        of the run: ``sync`` does the same later.
        """
        if self._state_file is None:
            return False
        outcome: list[bool] = []
        thread = threading.Thread(target=lambda: outcome.append(self._deliver()), daemon=True)
        thread.start()
        thread.join(max(1.0, self._until - time.monotonic()))
        if thread.is_alive():
            logger.warning(
                "MLflow store %s has not taken everything within %g s (mlflow_finish_timeout_s). Send the rest with "
                "`fedchunk sync %s`.", self.tracking_uri, self._finish_limit_s, self._run_path,
            )  # fmt: skip
        return outcome == [True]

    def _deliver(self) -> bool:
        assert self._state_file is not None
        try:
            deliver(open_store(self._uri), self._run_path, self._state_file)
        except (TrackingError, RecordsError, OSError) as error:
            logger.warning("%s. Send the rest with `fedchunk sync %s`.", error, self._run_path)
            return False
        return True

    def _warn(self, message: str, *values: object) -> None:
        if not self._warned:
            self._warned = True
            logger.warning(message + ". The run goes on.", *values)
