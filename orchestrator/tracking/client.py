"""All that fedchunk asks of MLflow, through its client; the only module that imports mlflow.

Import it by :func:`tracking.store.open_store` only, which first says through the environment how MLflow
is to behave. Every failure becomes a :class:`TrackingError` without secrets in it.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock
from mlflow import MlflowClient
from mlflow.entities import (
    Dataset,
    DatasetInput,
    Experiment,
    InputTag,
    LoggedModelOutput,
    Metric,
    Param,
    Run,
    RunTag,
)
from mlflow.exceptions import MlflowException
from sqlalchemy.engine import make_url

from fedchunk.orchestrator.core.errors import TrackingError
from fedchunk.orchestrator.core.masking import mask_uri
from fedchunk.orchestrator.recording.checkpoints import FOLDER as CHECKPOINTS
from fedchunk.orchestrator.tracking.beginning import Beginning
from fedchunk.orchestrator.tracking.description import HOST_TAG, OUTPUT_TAG, PID_TAG, STARTED_TAG, UID_TAG
from fedchunk.orchestrator.tracking.spool import FOLDER, Point
from fedchunk.orchestrator.tracking.uri import artifact_folder, is_server, sqlite_file

_DATABASE_PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}
_STAYS = (FOLDER, CHECKPOINTS)
"""Folders of a run that are of no use elsewhere."""
_MAX_PARAMS = 100
"""In one call."""
_LOCK_LIMIT_S = 60
"""Longest wait for another process that makes the same database's tables; that takes some three seconds."""

_EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}
"""Opens the experiment in the UI's view for training runs; without it the UI guesses, often the one for prompts."""


@dataclass(frozen=True)
class RunningRun:
    """A run that has not ended, as far as the store knows, and the process that should be recording it."""

    run_id: str
    host: str
    pid: int
    process_started: float
    folder: str


class MlflowStore:
    """One tracking store. Methods may be called from any thread; each raises TrackingError."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        with self._translated():
            _check_database_answers(uri)
            with _alone(uri):
                self._client = MlflowClient(tracking_uri=uri)
                self._client.get_experiment("0")  # now, not later, its tables are made

    def find(self, experiment: str, uid: str) -> str | None:
        """The id of the run with this name of ours; None if there is none."""
        with self._translated():
            runs = self._search(experiment, f"tags.`{UID_TAG}` = '{uid}'")
            return runs[0].info.run_id if runs else None

    def running(self, experiment: str) -> list[RunningRun]:
        """The runs of fedchunk that have not ended, as far as the store knows."""
        with self._translated():
            runs = self._search(experiment, "attributes.status = 'RUNNING'")
            return [
                RunningRun(
                    run.info.run_id,
                    run.data.tags[HOST_TAG],
                    int(run.data.tags[PID_TAG]),
                    float(run.data.tags[STARTED_TAG]),
                    run.data.tags[OUTPUT_TAG],
                )
                for run in runs
                if {HOST_TAG, PID_TAG, STARTED_TAG, OUTPUT_TAG} <= run.data.tags.keys()
            ]

    def _search(self, experiment: str, condition: str) -> Sequence[Run]:
        found = self._client.get_experiment_by_name(experiment)
        return self._client.search_runs([found.experiment_id], condition) if found else []

    def begin(self, beginning: Beginning, known: str | None = None) -> str:
        """Creates a run in its experiment (which is made if there is none), or completes one; its id."""
        description = beginning.description
        with self._translated():
            tags = {**description.tags, UID_TAG: beginning.uid}
            run_id: str = (
                known
                or self._client.create_run(
                    self._experiment_id(beginning.experiment), beginning.begun_ms, tags, description.name
                ).info.run_id
            )
            params = [Param(key, value) for key, value in description.params.items()]
            for first in range(0, len(params), _MAX_PARAMS):
                self._client.log_batch(run_id, params=params[first : first + _MAX_PARAMS])
            dataset = Dataset(
                name=description.dataset_name,
                digest=description.dataset_digest,
                source_type="fedchunk",
                source=description.dataset_source,
                profile=description.dataset_profile,
            )
            training = InputTag("mlflow.data.context", "training")
            self._client.log_inputs(run_id, datasets=[DatasetInput(dataset, tags=[training])])
        return run_id

    def begin_parent(self, experiment: str, name: str, keys: Sequence[str], folder: str) -> str:
        """Creates a run for others to be parts of; its id."""
        tags = {
            "fedchunk.sweep": ", ".join(keys),
            OUTPUT_TAG: folder,
            "mlflow.source.name": "fedchunk sweep",
            "mlflow.source.type": "LOCAL",
        }
        with self._translated():
            run = self._client.create_run(self._experiment_id(experiment), None, tags, name)
            run_id: str = run.info.run_id
        return run_id

    def go_on(self, run_id: str, host: str, pid: int, process_started: float) -> None:
        """Another process has taken the run up again."""
        tags = {HOST_TAG: host, PID_TAG: str(pid), STARTED_TAG: repr(process_started)}
        with self._translated():
            self._client.update_run(run_id, status="RUNNING")
            self._client.log_batch(run_id, tags=[RunTag(key, value) for key, value in tags.items()])

    def send(self, run_id: str, points: Sequence[Point]) -> None:
        """Logs points in one call."""
        with self._translated():
            self._client.log_batch(run_id, metrics=[Metric(p.key, p.value, p.timestamp_ms, p.step) for p in points])

    def upload(self, run_id: str, run_path: Path) -> int:
        """Makes every file of the run's folder an artifact, over an older one; how many there were."""
        with self._translated():
            files = artifacts_of(run_path)
            for file in files:
                folder = file.parent.relative_to(run_path).as_posix()
                self._client.log_artifact(run_id, str(file), None if folder == "." else folder)
        return len(files)

    def create_model(self, run_id: str, params: Mapping[str, str]) -> str:
        """Makes a LoggedModel of the run's weights, which stay where they are among its artifacts; its id."""
        with self._translated():
            run = self._client.get_run(run_id)
            model = self._client.create_logged_model(
                run.info.experiment_id,
                name="global-model",
                source_run_id=run_id,
                tags={"mlflow.model.isExternal": "true", "weights": f"runs:/{run_id}/weights.safetensors"},
                params=dict(params),
                model_type="federated",
            )
            model_id: str = self._client.finalize_logged_model(model.model_id, "READY").model_id
        return model_id

    def end(
        self, run_id: str, points: Sequence[Point], tags: Mapping[str, str], model_id: str | None, step: int
    ) -> None:
        """Logs the final figures, of the run and of its model. May be repeated."""
        with self._translated():
            metrics = [Metric(p.key, p.value, p.timestamp_ms, p.step, model_id=model_id) for p in points]
            self._client.log_batch(run_id, metrics=metrics, tags=[RunTag(k, v) for k, v in tags.items()])
            outputs = self._client.get_run(run_id).outputs
            known = {output.model_id for output in outputs.model_outputs} if outputs else set()
            if model_id is not None and model_id not in known:
                self._client.log_outputs(run_id, [LoggedModelOutput(model_id, step)])

    def terminate(self, run_id: str, status: str, ended_ms: int | None) -> None:
        """Ends the run as FINISHED, FAILED or KILLED. May be repeated."""
        with self._translated():
            self._client.set_terminated(run_id, status, ended_ms)

    def tags(self, run_id: str) -> dict[str, str]:
        """The tags of a run."""
        with self._translated():
            return dict(self._client.get_run(run_id).data.tags)

    def download(self, run_id: str, destination: Path) -> None:
        """Copies the run's artifacts into an existing folder."""
        with self._translated():
            self._client.download_artifacts(run_id, "", str(destination))

    def _experiment_id(self, name: str) -> str:
        found = self._client.get_experiment_by_name(name)
        if found is not None:
            return self._usable(found)
        try:
            return str(
                self._client.create_experiment(name, artifact_location=artifact_folder(self.uri), tags=_EXPERIMENT_TAGS)
            )
        except MlflowException as error:
            found = self._client.get_experiment_by_name(name)
            if found is None or error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            return self._usable(found)  # another run was quicker

    def _usable(self, experiment: Experiment) -> str:
        if experiment.lifecycle_stage == "deleted":
            raise TrackingError(
                f"experiment {experiment.name!r} of MLflow store {mask_uri(self.uri)} is deleted; "
                "restore it, or set mlflow_experiment_prefix to another name"
            )
        return str(experiment.experiment_id)

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except TrackingError:
            raise
        except Exception as error:  # MLflow's, SQLAlchemy's, alembic's, the system's: whichever, the store is away
            reason = mask_uri(str(error)).partition("\n")[0][:500]
            # "from None": the original may quote the address with its password
            raise TrackingError(f"MLflow store {mask_uri(self.uri)}: {reason or type(error).__name__}") from None


def artifacts_of(run_path: Path) -> list[Path]:
    """The files of a run's folder that are uploaded: all but hidden ones, links, checkpoints and what waits here."""
    files = []
    for folder, folders, names in os.walk(run_path):
        at_top = Path(folder) == run_path
        folders[:] = sorted(name for name in folders if name[0] != "." and not (at_top and name in _STAYS))
        files += [Path(folder) / name for name in sorted(names) if name[0] != "."]
    return [file for file in files if not file.is_symlink()]


def _alone(uri: str) -> contextlib.AbstractContextManager[object]:
    """One process at a time: MLflow makes and migrates a database's tables without asking who else does."""
    file = sqlite_file(uri)
    if file is None:
        return contextlib.nullcontext()
    return FileLock(file.with_name(f".{file.name}.lock"), timeout=_LOCK_LIMIT_S)


def _check_database_answers(uri: str) -> None:
    """Raises OSError in seconds where MLflow would try to connect for two minutes."""
    if is_server(uri) or "://" not in uri:
        return
    url = make_url(uri)
    port = url.port or _DATABASE_PORTS.get(url.get_backend_name())
    if url.host and port:
        socket.create_connection((url.host, port), timeout=5).close()
