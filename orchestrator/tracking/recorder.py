"""Records a run in MLflow: one run per experiment, two calls a round at most, and the network never holds a round up.

A round's metrics are a line in the run's folder (:mod:`fedchunk.orchestrator.tracking.spool`); a thread sends them on
(:mod:`fedchunk.orchestrator.tracking.sender`). What cannot be sent waits for :func:`orchestrator.tracking_sync.sync`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import psutil

from fedchunk.orchestrator.contract.messages import ModelSpec, ModelState, RoundResult
from fedchunk.orchestrator.contract.ports import FederationInfo, RunSummary
from fedchunk.orchestrator.core.errors import RecordsError, TrackingError
from fedchunk.orchestrator.core.masking import mask_uri
from fedchunk.orchestrator.settings.sections import TrackingSettings
from fedchunk.orchestrator.tracking.delivery import deliver
from fedchunk.orchestrator.tracking.description import describe
from fedchunk.orchestrator.tracking.metrics import own_metrics, round_metrics, system_metrics
from fedchunk.orchestrator.tracking.sender import Sender
from fedchunk.orchestrator.tracking.spool import Point, Spool, StateFile
from fedchunk.orchestrator.tracking.store import open_store
from fedchunk.orchestrator.tracking.uri import resolve_store

if TYPE_CHECKING:
    from fedchunk.orchestrator.tracking.client import MlflowStore

logger = logging.getLogger(__name__)

_FINISH_LIMIT_S = 5.0
"""How long a run that has ended waits for its metrics to arrive."""


class MlflowRecorder:
    """Records a run in MLflow (a :class:`contract.ports.Recorder`). :meth:`upload` comes after ``finish``.

    Args:
        tracking: the section of the settings.
        flat_settings: all settings by their flat names; they become parameters.
        run_path: the run's folder; what waits to be sent is kept there.
        tracking_uri: the store; None: the one of the settings, else ``sqlite:///mlflow.db`` in the current folder.
        components: what users' own components are: setting -> name, place and SHA-256; they become tags.
    """

    def __init__(
        self,
        tracking: TrackingSettings,
        flat_settings: Mapping[str, Any],
        run_path: Path,
        tracking_uri: str | None = None,
        components: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
    ) -> None:
        self._uri = resolve_store(tracking_uri or tracking.mlflow_tracking_uri)
        self._experiment = tracking.mlflow_experiment_prefix
        self._flat_settings = flat_settings
        self._components = components
        self._run_path = run_path.resolve()
        self._spool = Spool(self._run_path)
        self._totals: dict[str, float] = {}
        self._warned = False
        self._store: MlflowStore
        self._state_file: StateFile
        self._sender: Sender

    @property
    def tracking_uri(self) -> str:
        """The store, masked."""
        return mask_uri(self._uri)

    @property
    def run_id(self) -> str:
        """MLflow's name of the run; known after ``start``."""
        return self._state_file.state.run_id

    def start(self, info: FederationInfo) -> None:
        """Creates the run with its parameters, tags and data set.

        Raises:
            TrackingError: the store does not answer; the message says what to do.
        """
        begun_ms = time.time_ns() // 1_000_000  # the first round runs while mlflow is imported
        try:
            self._store = open_store(self._uri)
            description = describe(self._flat_settings, info, self._run_path, self._components)
            run_id = self._store.begin(self._experiment, description, begun_ms)
            self._state_file = StateFile.create(self._run_path, run_id, self.tracking_uri)
        except (TrackingError, OSError) as error:
            raise TrackingError(
                f"the run cannot be logged to MLflow: {error}. Start that store or name another one with "
                "--tracking-uri; mlflow_enabled=false runs without"
            ) from None
        self._sender = Sender(self._spool, self._state_file, lambda points: self._store.send(run_id, points))
        self._sender.start()
        psutil.cpu_percent()  # the load of a round is measured since the call before

    def record_rounds(self, results: Sequence[RoundResult]) -> None:
        """Puts the rounds' metrics into the spool and returns; a thread sends them."""
        now_ms = time.time_ns() // 1_000_000
        points: list[Point] = []
        for result in results:
            metrics = round_metrics(result.summary, self._totals) | own_metrics(result.tables["metrics"])
            if result is results[-1]:
                metrics |= system_metrics(self._run_path)
            points.extend(Point(key, value, result.round_index, now_ms) for key, value in metrics.items())
        try:
            self._spool.append(points)
        except OSError as error:
            last = results[-1].round_index
            self._warn("the metrics of rounds up to %d could not be kept for MLflow (%s)", last, error)
        self._sender.wake()

    def finish(self, summary: RunSummary, spec: ModelSpec | None, model: ModelState | None) -> None:
        """Waits a few seconds for the metrics to arrive; what does not is left to :meth:`upload` and ``sync``.

        The run is still open then: it ends once its artifacts are there, in :meth:`upload`.
        """
        self._sender.stop(_FINISH_LIMIT_S)
        try:
            self._state_file.update(ended_ms=time.time_ns() // 1_000_000)
        except OSError as error:
            self._warn("the end of the run could not be noted (%s)", error)

    def upload(self) -> bool:
        """Uploads the run's folder, logs its final model and ends it; True if everything has arrived.

        To be called after ``finish`` and after everything that belongs into the folder is there (the report).
        Does not raise when the store is away: ``sync`` does the same later.
        """
        try:
            deliver(self._store, self._run_path, self._state_file)
        except (TrackingError, RecordsError, OSError) as error:
            logger.warning("%s. Send the rest with `fedchunk sync %s`.", error, self._run_path)
            return False
        return True

    def _warn(self, message: str, *values: object) -> None:
        if not self._warned:
            self._warned = True
            logger.warning(message + ". The run goes on.", *values)
