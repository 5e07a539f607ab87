"""The one wiring of an experiment: for the command line, for Python and for benchmarks.

Heavy parts are imported by what needs them, so that a script that only looks at runs does not wait for Ray.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedchunk.orchestrator.core.errors import ConfigError, Fault, FedchunkError
from fedchunk.orchestrator.settings.loading import load, parse, to_yaml
from fedchunk.orchestrator.settings.whole import Settings

if TYPE_CHECKING:
    from fedchunk.analysis.load import Run
    from fedchunk.orchestrator.contract.messages import RoundResult
    from fedchunk.orchestrator.contract.ports import Federation, Observer, Recorder, RunSummary
    from fedchunk.orchestrator.tracking.recorder import MlflowRecorder

OnRound = Callable[[Mapping[str, Any]], object]
"""Told of each round: its row of the ``rounds`` table."""


@dataclass(frozen=True)
class Launch:
    """Where and how an experiment runs; nothing here changes a result."""

    output: Path | None = None
    """Folder of the results, new or empty; None: a new one below ``runs``."""
    address: str | None = None
    """A Ray to join; None: one that runs in this process already, or one of its own."""
    local: bool = False
    """In this process, without Ray."""
    tracking_uri: str | None = None
    """MLflow store; None: the settings', else MLFLOW_TRACKING_URI, else ``sqlite:///mlflow.db``."""


@dataclass(frozen=True)
class Ended:
    """An experiment that is over."""

    summary: RunSummary
    folder: Path
    report: Path
    run_id: str | None
    """MLflow's name of the run; None where MLflow is off."""


def environment_uri() -> str | None:
    """The MLflow store of the environment."""
    return os.environ.get("MLFLOW_TRACKING_URI")


def execute(
    settings: Settings, launch: Launch, observer: Observer, started: Callable[[], None] = lambda: None
) -> Ended:
    """Runs an experiment and records it; ``started`` is called once the federation stands.

    Raises:
        FedchunkError: it never got to its first round, or a recorder refused. The run's folder says so, too.
    """
    from fedchunk.actors.backends.memory import uncollected

    with uncollected():
        from fedchunk.orchestrator.experiment import never_started, run_experiment
        from fedchunk.orchestrator.recording.run_folder import RunFolder

    if launch.local and launch.address is not None:
        raise ConfigError([Fault("--address", "", "--local starts no Ray, so none can be joined; leave one out")])
    folder = RunFolder.create(launch.output, settings, to_yaml(settings))
    seen = _Seen(observer)
    try:
        recorders, tracker = _recorders(settings, launch, folder)
        with _federation(settings, launch, seen) as federation:
            started()
            summary = run_experiment(federation, settings.federation, recorders, seen)
    except (FedchunkError, KeyboardInterrupt) as error:
        if not seen.rounds_done:
            folder.finish(never_started(error), None, None)
        raise
    try:
        observer.stage("writing the report")
        report = _write_report(folder.path)
    finally:
        if tracker is not None:
            observer.stage("sending the results to MLflow")
            tracker.upload()
    return Ended(summary, folder.path, report, tracker.run_id if tracker else None)


def run(
    config: str | Path | Mapping[str, Any] | Settings,
    *,
    local: bool = False,
    on_round: OnRound | None = None,
    output: str | Path | None = None,
    address: str | None = None,
    tracking_uri: str | None = None,
    progress: bool = True,
    **settings: Any,
) -> Run:
    """Runs an experiment, recorded as ``fedchunk run`` does and with the same bits, and returns it as it was recorded.

    Args:
        config: a settings file, a mapping of settings, or settings that :func:`load_settings` gave.
        local: in this process, without Ray.
        on_round: told of each round as it ends: its row of the ``rounds`` table.
        output: folder of the results, new or empty; None: a new one below ``runs``.
        address: a Ray to join. A Ray that this process has started already is used, and left alone, in any case.
        tracking_uri: MLflow store; None: the settings', else MLFLOW_TRACKING_URI, else ``sqlite:///mlflow.db``.
        progress: show a line for each round on standard error.
        settings: settings that win over ``config``. Where the name of a component stands, a function or class may.

    Returns:
        The run: tables, summary, weights, figures. A run that was interrupted is returned as far as it got.

    Raises:
        ConfigError: the settings are wrong; all faults at once.
        FedchunkError: the run failed; what had finished is in its folder, which the message names.

    Example:
        >>> run = fedchunk.run("base.yaml", sensitivity_percentage=20, local=True)  # doctest: +SKIP
        >>> run.rounds.to_pandas()  # doctest: +SKIP
    """
    from fedchunk.analysis.load import load_run

    whole = load_settings(config, **settings)
    launch = Launch(Path(output) if output is not None else None, address, local, tracking_uri)
    with _shown(whole, progress) as observer:
        ended = execute(whole, launch, _Told(observer, on_round))
    if ended.summary.status == "failed":
        raise FedchunkError(f"{ended.summary.error}\nWhat had finished is in {ended.folder}")
    return load_run(ended.folder)


def load_settings(config: str | Path | Mapping[str, Any] | Settings, **settings: Any) -> Settings:
    """Settings from a file or a mapping, with those of ``settings`` on top; functions and classes may be values.

    Raises:
        ConfigError: with everything that is wrong.
    """
    if isinstance(config, Settings):
        if not settings:
            return config
        raise ConfigError([Fault("", next(iter(settings)), "settings that are whole already cannot be changed; "
                                 "give the file or a mapping, with what is to change beside it")])  # fmt: skip
    if isinstance(config, Mapping):
        return parse("chunking: false", "settings", (), {"chunking": False, **config, **settings}).settings
    return load(config, (), settings).settings


def _recorders(settings: Settings, launch: Launch, folder: Any) -> tuple[list[Recorder], MlflowRecorder | None]:
    """The run's folder first, then what the settings ask for."""
    from fedchunk.orchestrator.recording.optional import OptionalRecorder

    recorders: list[Recorder] = [folder]
    if settings.runtime.profile:
        from fedchunk.orchestrator.recording.profile import ProfileRecorder

        recorders.append(ProfileRecorder(folder.path))
    for bound in settings.all_bound("recorder"):
        recorders.append(OptionalRecorder(bound, bound(folder=folder.path, settings=settings.flat())))
    if not settings.tracking.mlflow_enabled:
        return recorders, None
    from fedchunk.orchestrator.tracking.recorder import MlflowRecorder

    uri = launch.tracking_uri or settings.tracking.mlflow_tracking_uri or environment_uri()
    tracker = MlflowRecorder(settings.tracking, settings.flat(), folder.path, uri, settings.components.described)
    return [*recorders, tracker], tracker


def _federation(settings: Settings, launch: Launch, observer: Observer) -> Federation:
    if launch.local:
        from fedchunk.actors.backends.local import LocalFederation

        return LocalFederation(settings, observer)
    from fedchunk.actors.backends.memory import uncollected

    with uncollected():
        from fedchunk.actors.backends.ray_backend import RayFederation
    return RayFederation(settings, launch.address, observer)


def _write_report(folder: Path) -> Path:
    from fedchunk.analysis.report import write_report

    return write_report(folder).html


def _shown(settings: Settings, progress: bool) -> AbstractContextManager[Observer]:
    if not progress:
        return nullcontext(_Silent())
    from fedchunk.orchestrator.commands.progress import ProgressLine

    return ProgressLine(settings.federation.federated_learning_rounds)


class _Silent:
    """An observer that shows nothing."""

    def stage(self, name: str) -> None:
        """Nothing."""

    def clients_done(self, round_index: int, done: int, cohort: int) -> None:
        """Nothing."""

    def round_done(self, result: RoundResult) -> None:
        """Nothing."""


class _Seen:
    """Passes everything on, and knows whether a round ended."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self.rounds_done = 0

    def stage(self, name: str) -> None:
        """Passed on."""
        self._observer.stage(name)

    def clients_done(self, round_index: int, done: int, cohort: int) -> None:
        """Passed on."""
        self._observer.clients_done(round_index, done, cohort)

    def round_done(self, result: RoundResult) -> None:
        """Passed on, and counted."""
        self.rounds_done += 1
        self._observer.round_done(result)


class _Told(_Seen):
    """Tells a function of each round, too."""

    def __init__(self, observer: Observer, on_round: OnRound | None) -> None:
        super().__init__(observer)
        self._on_round = on_round

    def round_done(self, result: RoundResult) -> None:
        """Passed on, and told."""
        super().round_done(result)
        if self._on_round is not None:
            self._on_round(result.summary)
