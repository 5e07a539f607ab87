"""Sweeps: many runs of one experiment with other settings, for the command line and for Python.

    settings x axes -> trials -> workers (each plays one trial after the other, in its process) -> comparison

Ray Tune was looked at: it would hold the trials, but its trainables would have to bring everything else themselves
(recording, resuming, MLflow's parent run), and it needs tensorboardX beside Ray. What is left is this loop.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from fedchunk.orchestrator.core.errors import ConfigError, Fault, FedchunkError, TrackingError
from fedchunk.orchestrator.core.target import ACCURACY, Target
from fedchunk.orchestrator.run import Launch, Resume, execute, load_settings
from fedchunk.orchestrator.settings.loading import load
from fedchunk.orchestrator.settings.whole import Settings
from fedchunk.orchestrator.stopping import Stop
from fedchunk.orchestrator.sweeping.axes import Axes
from fedchunk.orchestrator.sweeping.standing import Shown, Standing
from fedchunk.orchestrator.sweeping.trials import Trial, note, open_sweep, read_note, trial_name
from fedchunk.orchestrator.tracking.uri import environment_uri

if TYPE_CHECKING:
    from fedchunk.actors.backends.ray_trials import TrialPool
    from fedchunk.analysis.comparison import Comparison
    from fedchunk.analysis.load import Run
    from fedchunk.orchestrator.contract.messages import RoundResult

logger = logging.getLogger(__name__)

MOST_DEATHS = 3
"""How often a trial's worker may die before the trial counts as failed."""


@dataclass(frozen=True)
class Sweep:
    """A sweep that is over."""

    folder: Path
    trials: tuple[Trial, ...]
    standings: Mapping[str, Standing]
    """By the trials' names."""

    @property
    def runs(self) -> dict[str, Run]:
        """The runs that finished, by their trials' names."""
        from fedchunk.analysis.load import load_run

        return {trial.name: load_run(trial.folder, tables=()) for trial in self.trials if trial.is_done}

    def compare(self, target: float | None = None) -> Comparison:
        """What the trials that finished reached for how many bytes. Raises ValueError where none did."""
        from fedchunk.analysis.compare import compare

        return compare([trial.folder for trial in self.trials if trial.is_done], target)


def sweep(
    config: str | Path | Mapping[str, Any],
    axes: Mapping[str, Sequence[Any]] = MappingProxyType({}),
    *,
    together: Sequence[Mapping[str, Any]] = (),
    output: str | Path,
    parallel: int | None = None,
    local: bool = False,
    address: str | None = None,
    tracking_uri: str | None = None,
    **settings: Any,
) -> Sweep:
    """Runs an experiment once for each combination of settings; each run has the bits that it has alone.

    Args:
        config: a settings file, or a mapping of settings.
        axes: settings and their values; every combination is a trial. Functions and classes may be values.
        together: settings that depend on each other: each mapping with every combination.
        output: the sweep's folder. Begun again in the same folder, it runs only what is missing.
        parallel: trials at once; None: as many as the machine has room for.
        local: one trial after the other in this process, without Ray.
        address: a Ray to join.
        tracking_uri: as for :func:`run`.
        settings: settings of all trials.

    Raises:
        ConfigError: the settings of a trial are wrong, or the folder holds something else.

    Example:
        >>> done = fedchunk.sweep("base.yaml", {"random_seed": range(5)}, output="seeds")  # doctest: +SKIP
        >>> print(done.compare())  # doctest: +SKIP
    """
    points = Axes({key: tuple(values) for key, values in axes.items()}, together).points()
    make = partial(_settings_from_python, config, settings)
    trials = make_trials(points, make, Path(output))
    return run_sweep(trials, Path(output), How(parallel, local, address, tracking_uri))


def _settings_from_python(
    config: str | Path | Mapping[str, Any], settings: Mapping[str, Any], point: Mapping[str, Any]
) -> Settings:
    return load_settings(config, **{**settings, **point})


def settings_from_file(config: str, overrides: Sequence[str], point: Mapping[str, Any]) -> Settings:
    """The settings of a trial, from a file and the command line."""
    return load(config, overrides, point).settings


def make_trials(
    points: Sequence[Mapping[str, Any]], make: Callable[[Mapping[str, Any]], Settings], folder: Path
) -> tuple[Trial, ...]:
    """The trials of a sweep; all faults of all of them at once. Raises ConfigError."""
    trials: list[Trial] = []
    faults: dict[str, Fault] = {}
    for point in points:
        try:
            name = trial_name(point)
            trials.append(Trial(name, point, make(point), (folder / "trials" / name).resolve()))
        except ConfigError as error:
            faults |= {str(fault): fault for fault in error.faults}
    if faults:
        raise ConfigError([*faults.values()])
    return tuple(trials)


@dataclass(frozen=True)
class How:
    """How the trials are run; nothing here changes a result."""

    parallel: int | None = None
    local: bool = False
    address: str | None = None
    tracking_uri: str | None = None
    spread: bool = False
    """Also on other nodes, whose disk must be this one's."""


def run_sweep(
    trials: Sequence[Trial], folder: Path, how: How, shown: Shown | None = None, stop: Stop | None = None
) -> Sweep:
    """Runs what is missing of a sweep. Raises ConfigError where the folder holds something else."""
    open_sweep(folder, trials)
    shown = shown or Shown()
    stop = stop or Stop(trials[0].settings.runtime.stop_timeout_s, shown.say)
    board = _Board({trial.name: _standing_of(trial) for trial in trials}, shown)
    missing = [trial for trial in trials if not trial.is_done]
    if missing:
        with stop.listening(), stop.rounds_running():
            if how.local:
                _play_here(missing, folder, how, board, stop)
            else:
                _play_in_pool(missing, folder, how, board, stop)
    return Sweep(folder, tuple(trials), dict(board.standings))


class _Board:
    """Where all trials stand."""

    def __init__(self, standings: dict[str, Standing], shown: Shown) -> None:
        self.standings, self.shown = standings, shown
        shown.update(standings)

    def set(self, name: str, standing: Standing) -> None:
        if self.standings[name] != standing:
            self.standings[name] = standing
            self.shown.update(self.standings)


def _standing_of(trial: Trial) -> Standing:
    rounds = trial.settings.federation.federated_learning_rounds
    if not trial.is_done:
        return Standing("waiting", 0, rounds)
    found = trial.summary
    num_bytes = found["uplink_bytes"] + found["downlink_bytes"]
    target = trial.settings.target
    return Standing("there", found["rounds_completed"], rounds, target.of(found), num_bytes, None, target)


@dataclass(frozen=True)
class Job:
    """A trial as a worker gets it."""

    settings: Settings
    folder: Path
    goes_on: bool
    tracking_uri: str | None
    parent_run: str | None


class Player:
    """Plays trials in this process, one after the other. Keeps data sets from one to the next."""

    def __init__(self) -> None:
        from fedchunk.orchestrator.learning.data.cache import DatasetCache

        self._cache = DatasetCache()
        self._watch = _Watch(0, ACCURACY)
        self._stop = Stop()

    def play(self, job: Job, stop: Stop | None = None) -> Standing:
        """What became of a trial. Never raises: a trial that fails does not stop the others."""
        self._watch = watch = _Watch(job.settings.federation.federated_learning_rounds, job.settings.target)
        self._stop = stop or Stop(job.settings.runtime.stop_timeout_s)
        launch = Launch(
            output=None if job.goes_on else job.folder,
            local=True,
            tracking_uri=job.tracking_uri,
            resume=Resume(job.folder, {}) if job.goes_on else None,
            parent_run=job.parent_run,
            report=False,
            load=self._cache.load,
        )
        try:
            ended = execute(job.settings, launch, watch, self._stop)
        except FedchunkError as error:
            return watch.standing("failed", str(error))
        except KeyboardInterrupt:
            return watch.standing("interrupted")
        except Exception as error:
            return watch.standing("failed", f"{type(error).__name__}: {error}")
        return watch.standing(ended.summary.status, ended.summary.error)

    def progress(self) -> Standing:
        """How far the trial is."""
        return self._watch.standing("running")

    def stop(self) -> None:
        """The trial is to end after its round."""
        self._stop.ask("sweep")


@dataclass
class _Watch:
    """Sees how far a trial is (an observer)."""

    rounds: int
    target: Target
    row: Mapping[str, Any] = field(default_factory=dict)
    num_bytes: int = 0
    value: float | None = None

    def stage(self, name: str) -> None:
        """Nothing that a table of trials has room for."""

    def clients_done(self, round_index: int, done: int, cohort: int) -> None:
        """The same."""

    def round_done(self, result: RoundResult) -> None:
        """A round ended."""
        self.row = row = result.summary
        self.num_bytes += int(str(row["uplink_bytes"])) + int(str(row["downlink_bytes"]))
        measured = self.target.of(row)
        self.value = self.value if measured is None else measured

    def standing(self, status: str, error: str | None = None) -> Standing:
        """As it is shown."""
        done = int(str(self.row.get("round", 0)))
        return Standing(status, done, self.rounds, self.value, self.num_bytes, error, self.target)


def _play_here(trials: Sequence[Trial], folder: Path, how: How, board: _Board, stop: Stop) -> None:
    parent = _parent_run(trials, folder, how)
    player = Player()
    for trial in trials:
        board.set(trial.name, Standing("running", 0, trial.settings.federation.federated_learning_rounds))
        board.set(trial.name, player.play(_job(trial, how, parent), stop))
        if stop.asked is not None:
            break
    _end_parent(trials, folder, how, board)


def _play_in_pool(trials: Sequence[Trial], folder: Path, how: How, board: _Board, stop: Stop) -> None:
    from fedchunk.actors.backends.ray_trials import TrialPool

    runtime = trials[0].settings.runtime
    board.shown.say("starting Ray" if how.address is None else f"joining Ray at {how.address}")
    with TrialPool(Player, runtime, how.parallel, how.address, spread=how.spread) as pool:
        stop.listen_again()
        size = min(pool.size, len(trials))
        if size < len(trials):
            board.shown.say(f"{size} of {len(trials)} trials at a time; the others wait for room")
        idle = [pool.start_worker() for _ in range(size)]
        parent = _parent_run(trials, folder, how)  # while the workers import torch
        _Loop(pool, list(trials), idle, lambda trial: _job(trial, how, parent), board, stop).run()
    _end_parent(trials, folder, how, board)


class _Loop:
    """Hands trials to workers until all are done, or somebody wants it to end."""

    def __init__(
        self,
        pool: TrialPool,
        waiting: list[Trial],
        idle: list[Any],
        job: Callable[[Trial], Job],
        board: _Board,
        stop: Stop,
    ) -> None:
        self._pool, self._waiting, self._idle, self._job = pool, waiting, idle, job
        self._board, self._stop = board, stop
        self._playing: dict[Any, tuple[Trial, Any]] = {}
        self._asked: dict[Any, Trial] = {}
        self._deaths: dict[str, int] = {}
        self._told = False

    def run(self) -> None:
        """Until nothing is left."""
        while self._playing or (self._waiting and self._stop.asked is None):
            self._hand_out()
            for reference in self._pool.wait([*self._playing]):
                self._take(reference, *self._playing.pop(reference))
            self._look()
            if self._stop.asked is not None and not self._told:
                self._told = True
                for _, worker in self._playing.values():
                    worker.stop.remote()
            self._stop.check()

    def _hand_out(self) -> None:
        while self._waiting and self._idle and self._stop.asked is None:
            trial, worker = self._waiting.pop(0), self._idle.pop()
            self._board.set(trial.name, Standing("running", 0, trial.settings.federation.federated_learning_rounds))
            self._playing[worker.play.remote(self._job(trial))] = trial, worker

    def _take(self, reference: Any, trial: Trial, worker: Any) -> None:
        try:
            self._board.set(trial.name, self._pool.answer(reference))
            self._idle.append(worker)
        except RuntimeError as error:
            self._pool.drop_worker(worker)
            self._idle.append(self._pool.start_worker())
            deaths = self._deaths[trial.name] = self._deaths.get(trial.name, 0) + 1
            if deaths < MOST_DEATHS:
                self._board.shown.say(f"{trial.name}: {error}; it goes on in another process")
                self._waiting.insert(0, trial)
                self._board.set(trial.name, Standing("waiting"))
            else:
                self._board.set(trial.name, Standing("failed", error=f"{error}, {deaths} times"))

    def _look(self) -> None:
        """How far the trials are, as far as their workers say so at once."""
        asked = {worker.progress.remote(): trial for trial, worker in self._playing.values()}
        for reference in self._pool.wait([*asked]) if asked else []:
            try:
                self._board.set(asked[reference].name, self._pool.answer(reference))
            except RuntimeError:
                continue  # it has died: that is told where its trial is taken


def _job(trial: Trial, how: How, parent_run: str | None) -> Job:
    return Job(trial.settings, trial.folder, trial.has_begun, how.tracking_uri, parent_run)


def _parent_run(trials: Sequence[Trial], folder: Path, how: How) -> str | None:
    """MLflow's run above those of the trials; None where MLflow is off, or does not answer."""
    settings = trials[0].settings
    known: str | None = read_note(folder).get("mlflow_run")
    if not settings.tracking.mlflow_enabled or known is not None:
        return known
    from fedchunk.orchestrator.tracking.store import open_store

    try:
        store = open_store(_store_uri(settings, how))
        keys = sorted({key for trial in trials for key in trial.point})
        run_id = store.begin_parent(
            settings.tracking.mlflow_experiment_prefix, folder.resolve().name, keys, str(folder.resolve())
        )
        note(folder, mlflow_run=run_id)
        return run_id
    except (TrackingError, OSError) as error:
        logger.warning("the sweep is no run in MLflow: %s. Its trials go on.", error)
        return None


def _end_parent(trials: Sequence[Trial], folder: Path, how: How, board: _Board) -> None:
    run_id = read_note(folder).get("mlflow_run")
    if run_id is None or any(standing.status in ("waiting", "interrupted") for standing in board.standings.values()):
        return
    from fedchunk.orchestrator.tracking.store import open_store

    failed = any(standing.status == "failed" for standing in board.standings.values())
    try:
        store = open_store(_store_uri(trials[0].settings, how))
        store.terminate(run_id, "FAILED" if failed else "FINISHED", time.time_ns() // 1_000_000)
    except TrackingError as error:
        logger.warning("the end of the sweep is not in MLflow: %s", error)


def _store_uri(settings: Settings, how: How) -> str:
    from fedchunk.orchestrator.tracking.uri import resolve_store

    return resolve_store(how.tracking_uri or settings.tracking.mlflow_tracking_uri or environment_uri())
