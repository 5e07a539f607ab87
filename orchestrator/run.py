"""The one wiring of an experiment: for the command line, for Python and for benchmarks.

Heavy parts are imported by what needs them, so that a script that only looks at runs does not wait for Ray.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from fedchunk.orchestrator.core.errors import ConfigError, CoordinatorLost, Fault, FedchunkError
from fedchunk.orchestrator.settings.loading import load, parse, to_yaml
from fedchunk.orchestrator.settings.whole import Settings
from fedchunk.orchestrator.stopping import Stop
from fedchunk.orchestrator.tracking.uri import environment_uri

if TYPE_CHECKING:
    from fedchunk.analysis.load import Run
    from fedchunk.orchestrator.contract.ports import Federation, Observer, Recorder, RunSummary
    from fedchunk.orchestrator.experiment import Experiment
    from fedchunk.orchestrator.learning.data.dataset import LoadedDataset
    from fedchunk.orchestrator.recording.run_folder import RunFolder
    from fedchunk.orchestrator.tracking.recorder import MlflowRecorder

logger = logging.getLogger(__name__)

_T = TypeVar("_T")

OnRound = Callable[[Mapping[str, Any]], object]
"""Told of each round: its row of the ``rounds`` table."""


@dataclass(frozen=True)
class Resume:
    """A recorded run that goes on."""

    folder: Path
    changed: Mapping[str, Any]
    """Settings that are not what they were."""
    last_round: int | None = None
    """What is recorded of later rounds is forgotten; None: nothing is."""


@dataclass(frozen=True)
class Fork:
    """A new run that goes on from a checkpoint of a recorded one."""

    parent: Path
    at: int
    """The round of the checkpoint."""
    origin: Mapping[str, Any]
    """What is recorded of it."""


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
    resume: Resume | None = None
    """A run that goes on; None: a new one."""
    fork: Fork | None = None
    """Where a new run branches off; None: it begins at the beginning."""
    parent_run: str | None = None
    """MLflow's name of the run that this one is a part of."""
    report: bool = True
    """Whether to write the report."""
    load: Callable[[Settings], LoadedDataset] | None = None
    """Loads the data set; None: as it is."""


@dataclass(frozen=True)
class Ended:
    """An experiment that is over."""

    summary: RunSummary
    folder: Path
    report: Path | None
    """None where it could not be written."""
    run_id: str | None
    """MLflow's name of the run; None where MLflow is off, or does not know of it yet."""


def execute(settings: Settings, launch: Launch, observer: Observer, stop: Stop | None = None) -> Ended:
    """Runs an experiment and records it. What follows the last round never decides how the run ended.

    Raises:
        FedchunkError: it never got to its first round. The run's folder says so, too.
        KeyboardInterrupt: the same, by Ctrl-C or a signal.
    """
    from fedchunk.actors.backends.memory import uncollected

    with uncollected():
        from fedchunk.orchestrator.experiment import never_started

    if launch.local and launch.address is not None:
        raise ConfigError([Fault("--address", "", "--local starts no Ray, so none can be joined; leave one out")])
    stop = stop or Stop(settings.runtime.stop_timeout_s, observer.stage)
    with stop.listening():
        with stop.deferred():  # from its first file on the folder says how the run ended, also after a second Ctrl-C
            folder = _folder(settings, launch)
            experiment: Experiment | None = None
            try:
                with stop.heard():
                    recorders, tracker = _recorders(settings, launch, folder)
                    experiment = _experiment(settings, folder, recorders, observer, stop)
                    summary = _play(experiment, settings, launch, observer, stop)
            except BaseException as error:
                if experiment is not None and not folder.finished:
                    experiment.give_up(error)
                if not folder.finished:
                    folder.finish(never_started(error, folder.rows, settings.target), None, None)
                folder.close()
                raise
        report = None
        if launch.report:
            report = _after_the_run("the report", observer, "writing the report", lambda: _write_report(folder.path))
        folder.close()
        if tracker is not None:
            _after_the_run("MLflow", observer, "sending the results to MLflow", tracker.upload)
    run_id = tracker.run_id if tracker else None
    summary = replace(summary, unwritten=folder.unwritten, forked_from=folder.forked_from)
    return Ended(summary, folder.path, report, run_id)


def _play(experiment: Experiment, settings: Settings, launch: Launch, observer: Observer, stop: Stop) -> RunSummary:
    """The rounds, on as many federations one after the other as a run may be restarted."""
    while True:
        try:
            with _federation(settings, launch, observer) as federation:
                stop.listen_again()
                return experiment.play(federation)
        except CoordinatorLost as lost:  # also while it is built again: nodes that go, go together
            if not experiment.may_restart(lost):
                raise


def _folder(settings: Settings, launch: Launch) -> RunFolder:
    """The run's folder: a new one, one that grows again, or one that begins with another run's rounds."""
    from fedchunk.orchestrator.recording.fork_folder import fork_folder
    from fedchunk.orchestrator.recording.run_folder import RunFolder

    if (resume := launch.resume) is not None:
        return RunFolder.reopen(resume.folder, resume.changed, resume.last_round)
    if (fork := launch.fork) is not None:
        return fork_folder(fork.parent, fork.at, fork.origin, launch.output, settings, to_yaml(settings))
    return RunFolder.create(launch.output, settings, to_yaml(settings))


def _experiment(
    settings: Settings, folder: RunFolder, recorders: list[Recorder], observer: Observer, stop: Stop
) -> Experiment:
    """The rounds that are left, with the checkpoints of the run's folder."""
    from fedchunk.orchestrator.experiment import Experiment
    from fedchunk.orchestrator.methods.method import keeps_states
    from fedchunk.orchestrator.recording.checkpoints import Checkpoints

    runtime, federation = settings.runtime, settings.federation
    states = federation.number_of_clients if federation.peer_to_peer or keeps_states(settings) else 0
    checkpoints = Checkpoints(
        folder.path, runtime.checkpoint_interval, runtime.checkpoints_to_keep, lambda: folder.recorded_to, states
    )
    return Experiment(
        federation,
        recorders,
        observer,
        stop,
        checkpoints,
        past=folder.rows,
        max_restarts=runtime.max_run_restarts,
        target=settings.target,
    )


def _after_the_run(what: str, observer: Observer, stage: str, do: Callable[[], _T]) -> _T | None:
    """Does what comes after the last round; whatever happens to it, the run has ended as it has."""
    try:
        observer.stage(stage)
        return do()
    except KeyboardInterrupt:
        logger.warning("%s: stopped before it was done; the run itself is over and recorded.", what)
    except Exception as error:
        logger.warning("%s: %s: %s. The run itself is recorded.", what, type(error).__name__, error)
    return None


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
    whole = load_settings(config, **settings)
    launch = Launch(Path(output) if output is not None else None, address, local, tracking_uri)
    return play(whole, launch, on_round, progress)


def play(settings: Settings, launch: Launch, on_round: OnRound | None, progress: bool) -> Run:
    """Runs an experiment and returns it as it was recorded. Raises FedchunkError where it failed."""
    from fedchunk.analysis.load import load_run
    from fedchunk.orchestrator.commands.watching import Told, shown

    with shown(settings, progress) as observer:
        ended = execute(settings, launch, Told(observer, on_round))
    if ended.summary.status == "failed":
        raise FedchunkError(f"{ended.summary.error}\nWhat had finished is in {ended.folder}")
    return load_run(ended.folder)


def resume(
    run: str | Path,
    *,
    accept_changes: bool = False,
    local: bool = False,
    on_round: OnRound | None = None,
    address: str | None = None,
    tracking_uri: str | None = None,
    progress: bool = True,
    **settings: Any,
) -> Run:
    """Goes on with a recorded run, in its folder, its MLflow run and its tables, and returns it.

    However often and wherever a run was stopped or killed: once it has ended, its tables (times aside) and weights are
    those of the run that never was.

    Args:
        run: the run's folder.
        accept_changes: go on with components whose source has changed since; what is recorded of rounds after the last
            checkpoint is forgotten then.
        local: in this process, without Ray; the run may have begun on Ray, and the other way round.
        on_round: told of each new round, as in :func:`run`.
        address: as in :func:`run`.
        tracking_uri: as in :func:`run`; to be given again where the address has a password.
        progress: show a line for each round on standard error.
        settings: what is to change: ``federated_learning_rounds``, or how and where the run is processed.

    Raises:
        ConfigError: there is no such run, another process has it, or a setting would change rounds that are over.
        FedchunkError: the run failed.
    """
    whole, going_on = to_resume(Path(run), (), settings, accept_changes=accept_changes)
    return play(whole, Launch(None, address, local, tracking_uri, going_on), on_round, progress)


def to_resume(
    run: Path, overrides: Sequence[str], objects: Mapping[str, Any], *, accept_changes: bool
) -> tuple[Settings, Resume]:
    """The settings of a run that goes on, and from where. Raises ConfigError as :func:`resume` does."""
    from fedchunk.orchestrator.recording.checkpoints import FOLDER, newest_checkpoint
    from fedchunk.orchestrator.resuming import resumed

    found = resumed(run, overrides, objects, accept_changes=accept_changes)
    last = None
    if found.code_changed:
        newest = newest_checkpoint(run / FOLDER)
        last = newest.round_index if newest else 0
    return found.settings, Resume(run, found.changed, last)


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
    from fedchunk.orchestrator.recording.own_recorder import OwnRecorder

    recorders: list[Recorder] = [folder]
    if settings.runtime.profile:
        from fedchunk.orchestrator.recording.profile import ProfileRecorder

        recorders.append(ProfileRecorder(folder.path))
    for bound in settings.all_bound("recorder"):
        recorders.append(OwnRecorder(bound, bound(folder=folder.path, settings=settings.flat())))
    if not settings.tracking.mlflow_enabled:
        return recorders, None
    from fedchunk.orchestrator.tracking.recorder import MlflowRecorder

    uri = launch.tracking_uri or settings.tracking.mlflow_tracking_uri or environment_uri()
    tracker = MlflowRecorder(
        settings.tracking,
        settings.flat(),
        folder.path,
        uri,
        settings.components.described,
        past=folder.past(),
        parent_run=launch.parent_run,
        forked_from=folder.forked_from,
    )
    return [*recorders, tracker], tracker


def _federation(settings: Settings, launch: Launch, observer: Observer) -> Federation:
    if launch.local:
        from fedchunk.actors.backends.local import LocalFederation

        return LocalFederation(settings, observer, load=launch.load)
    from fedchunk.actors.backends.memory import uncollected

    with uncollected():
        from fedchunk.actors.backends.ray_backend import RayFederation
    return RayFederation(settings, launch.address, observer)


def _write_report(folder: Path) -> Path:
    from fedchunk.analysis.report import write_report

    return write_report(folder).html
