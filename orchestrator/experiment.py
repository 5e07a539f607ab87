"""The loop of an experiment: rounds in, records out. Read this first."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Mapping, Sequence

from fedchunk.orchestrator.contract.messages import ModelSpec, ModelState, RoundResult
from fedchunk.orchestrator.contract.ports import Federation, Observer, Recorder, RunSummary, Snapshot
from fedchunk.orchestrator.core.errors import CoordinatorLost, FedchunkError, StatesLost
from fedchunk.orchestrator.core.target import ACCURACY, OWN_COLUMNS, TARGET_COLUMNS, Target
from fedchunk.orchestrator.recording.background import End, Recording
from fedchunk.orchestrator.recording.checkpoints import Checkpoints
from fedchunk.orchestrator.settings.sections import FederationSettings
from fedchunk.orchestrator.stopping import Stop

logger = logging.getLogger(__name__)


def run_experiment(
    federation: Federation,
    settings: FederationSettings,
    recorders: Sequence[Recorder],
    observer: Observer,
    stop: Stop | None = None,
    target: Target = ACCURACY,
) -> RunSummary:
    """Runs an experiment in a federation that is entered already, without checkpoints: see :class:`Experiment`."""
    experiment = Experiment(settings, recorders, observer, stop or Stop(), max_restarts=0, target=target)
    return experiment.play(federation)


class Experiment:
    """Runs the rounds and records each while the next one runs. What had finished is recorded however the run ends.

    Where something is lost that no repeated call brings back, the rounds since the last checkpoint are played again:
    they give the same bits, so what is recorded of them stays.
    """

    def __init__(
        self,
        settings: FederationSettings,
        recorders: Sequence[Recorder],
        observer: Observer,
        stop: Stop,
        checkpoints: Checkpoints | None = None,
        *,
        past: Sequence[Mapping[str, object]] = (),
        max_restarts: int,
        target: Target = ACCURACY,
    ) -> None:
        """
        Args:
            settings: how many rounds, and when to stop early.
            recorders: told of every round. The first one counts; the others are optional.
            observer: told of progress.
            stop: says when somebody wants the run to end.
            checkpoints: where to go on from, and what to write on the way; None: the beginning, and nothing.
            past: rows of the ``rounds`` table that are recorded already.
            max_restarts: how often rounds may be played again.
            target: what the run is judged by.
        """
        self._settings, self._recorders, self._observer, self._stop = settings, recorders, observer, stop
        self._checkpoints, self._restarts_left = checkpoints, max_restarts
        self._rows = list(past)
        self._target = target
        self._enough = Enough(settings.stop_at, settings.patience, target)
        self._done = any([self._enough.after(row) for row in self._rows][-1:])
        self._recording: Recording | None = None
        self._spec: ModelSpec | None = None
        self._started: float | None = None

    def play(self, federation: Federation) -> RunSummary:
        """Runs what is left of the rounds.

        Returns:
            How the run ended. A failed round or Ctrl-C is a status, not an exception.

        Raises:
            CoordinatorLost: another federation is to play on, if :meth:`may_restart` lets it.
            RecordsError: the first recorder cannot start; it does so while the first round runs, which is then given
                up.
            Exception: what an observer raised; the run has failed, and that is recorded.
        """
        self._recording = recording = self._recording or Recording(self._recorders, federation.info)
        self._spec = federation.info.spec
        self._started = self._started or time.monotonic()
        status, error, raised = "finished", None, None
        try:
            with self._stop.rounds_running():
                self._play_rounds(federation, _Watching(self._observer, recording, self._stop, federation))
        except _Refused:
            pass  # finishing the recording says why
        except KeyboardInterrupt:
            by = self._stop.asked
            status, error = "interrupted", "interrupted by the user" if by is None else f"stopped by {by}"
        except CoordinatorLost as lost:
            if self._has_restarts:
                raise
            status, error = "failed", str(lost)
        except FedchunkError as failure:
            status, error = "failed", str(failure)
        except Exception as surprise:
            status, error, raised = "failed", f"{type(surprise).__name__}: {surprise}", surprise
        summary = self._end(federation, recording, status, error)
        if raised is not None:
            raise raised
        return summary

    def may_restart(self, lost: FedchunkError) -> bool:
        """Whether rounds may be played once more; says so, and counts it."""
        if not self._has_restarts:
            return False
        self._restarts_left -= 1
        self._observer.stage(f"{lost}; going back ({self._restarts_left} more times at most)")
        return True

    @property
    def _has_restarts(self) -> bool:
        return self._restarts_left > 0 and self._stop.asked is None

    def give_up(self, error: BaseException) -> None:
        """Records the end of a run whose federation is gone, and could not be built again."""
        if self._recording is None or self._recording.refused:
            return
        model, of_round = self._kept_model()
        summary = summarise(self._rows, *_how_ended(error), model, self._wall_s, of_round, self._target)
        self._recording.finish(End(summary, self._spec if model else None, model), lambda: self._stop.hurried)

    def _play_rounds(self, federation: Federation, watching: _Watching) -> None:
        """From the last checkpoint to the last round; again, where clients' states were lost."""
        first = federation.snapshot(0)
        if self._checkpoints is not None:
            self._checkpoints.expect(4 * federation.info.spec.num_parameters)
            federation.keep_states(self._checkpoints.wants)
        start = self._newest() if self._rows else None
        while True:
            try:
                if start is not None:
                    self._go_back_to(start, federation)
                for round_index in range(start.round_index + 1 if start else 1, self._last_round + 1):
                    self._take(federation.run_round(round_index, watching))
                    self._keep(federation, round_index)
                    if watching.recording.refused or (self._done and round_index >= len(self._rows)):
                        return
                    if self._stop.asked is not None and round_index >= watching.hold():
                        raise KeyboardInterrupt
                return
            except StatesLost as lost:
                if not self.may_restart(lost):
                    raise
                start = self._newest() or first

    @property
    def _last_round(self) -> int:
        """The round to play to: of a run that has got where it was to get, the last that is recorded."""
        return len(self._rows) if self._done else self._settings.federated_learning_rounds

    @property
    def _wall_s(self) -> float:
        """Seconds since the federation stood: rounds and what was played again, not the start."""
        return 0.0 if self._started is None else time.monotonic() - self._started

    def _newest(self) -> Snapshot | None:
        """The newest checkpoint of a round that is recorded."""
        return self._checkpoints.newest(len(self._rows)) if self._checkpoints else None

    def _keep(self, federation: Federation, round_index: int) -> None:
        """Has a checkpoint written, where one is wanted."""
        if self._checkpoints is not None and self._checkpoints.is_wanted(round_index):
            snapshot = federation.snapshot(round_index)
            if snapshot is not None:
                self._checkpoints.write_soon(snapshot)

    def _go_back_to(self, start: Snapshot, federation: Federation) -> None:
        at, known = start.round_index, len(self._rows)
        if at < known:
            self._observer.stage(f"rounds {at + 1} to {known} are played again, from the checkpoint of round {at}")
        elif at:
            self._observer.stage(f"going on after round {at}")
        federation.restore(start)

    def _take(self, result: RoundResult) -> None:
        """Records a round; one that is recorded already is only compared."""
        assert self._recording is not None
        if result.round_index <= len(self._rows):
            return self._compare(result)
        self._rows.append(result.summary)
        self._recording.record(result)
        self._observer.round_done(result)
        self._done = self._enough.after(self._rows[-1])
        return None

    def _compare(self, result: RoundResult) -> None:
        """A round that is recorded already was played again: it must have come out the same."""
        was, now = self._rows[result.round_index - 1], result.summary
        for column in (self._target.columns[0], "loss", "train_loss", "uplink_bytes", "downlink_bytes"):
            if not _same(was[column], now[column]):
                logger.warning(
                    "round %d was played again, and its %s is %s, not %s as recorded: other versions, or another kind "
                    "of device? What is recorded stays.", result.round_index, column, now[column], was[column],
                )  # fmt: skip
                return

    def _end(self, federation: Federation, recording: Recording, status: str, error: str | None) -> RunSummary:
        """Records how the run ended, and the last checkpoint."""
        model, of_round = self._last_model(federation)
        kept = _last_snapshot(federation, len(self._rows)) if self._checkpoints and self._rows else None
        with self._stop.deferred():
            summary = summarise(self._rows, status, error, model, self._wall_s, of_round, self._target)
            recording.finish(End(summary, federation.info.spec if model else None, model), lambda: self._stop.hurried)
            if self._checkpoints is not None:
                self._observer.stage("writing the last checkpoint")
                self._checkpoints.finish(kept, lambda: self._stop.hurried)
        return summary

    def _last_model(self, federation: Federation) -> tuple[ModelState | None, int | None]:
        """The model of the last round that ended; where it is gone with its coordinator, that of a checkpoint."""
        if not self._rows:
            return None, None
        try:
            return federation.final_model(), len(self._rows)
        except (FedchunkError, KeyboardInterrupt):
            return self._kept_model()

    def _kept_model(self) -> tuple[ModelState | None, int | None]:
        """The model of the newest checkpoint, and its round; peers keep none."""
        newest = self._newest()
        model: ModelState | None = newest.coordinator.get("weights") if newest else None
        return model, newest.round_index if newest and model else None


def _same(one: object, other: object) -> bool:
    return one == other or (one != one and other != other)


def _last_snapshot(federation: Federation, round_index: int) -> Snapshot | None:
    try:
        return federation.snapshot(round_index)
    except (FedchunkError, KeyboardInterrupt):
        return None


class _Refused(Exception):
    """What counts cannot be recorded."""


class _Watching:
    """An observer that ends a round as soon as it is known that it cannot be recorded, or is to be given up."""

    def __init__(self, observer: Observer, recording: Recording, stop: Stop, federation: Federation) -> None:
        self.recording = recording
        self._last_round: int | None = None
        self._observer, self._stop, self._federation = observer, stop, federation

    def stage(self, name: str) -> None:
        self._observer.stage(name)

    def clients_done(self, round_index: int, done: int, cohort: int) -> None:
        if self.recording.refused:
            raise _Refused
        self._stop.check()
        if self._stop.asked is not None:
            self.hold()
        self._observer.clients_done(round_index, done, cohort)

    def round_done(self, result: RoundResult) -> None:
        self._observer.round_done(result)

    def hold(self) -> int:
        """No round begins after the one in progress; which is the last."""
        if self._last_round is None:
            self._last_round = self._federation.hold()
        return self._last_round


class Enough:
    """Whether a run has got where it was to get, or gets no further."""

    def __init__(self, stop_at: float | None, patience: int | None, target: Target) -> None:
        self._wanted, self._patience, self._target = stop_at, patience, target
        self._best = float("-inf")
        self._rounds_since = 0

    def after(self, row: Mapping[str, object]) -> bool:
        """Whether to stop after a round: its row of the ``rounds`` table. Rounds without evaluation do not count.

        What counts is the coordinator's model, or the peers' on average.
        """
        measured = self._target.of(row)
        if measured is None:
            return False
        gain = self._target.gain(measured)
        self._rounds_since = 0 if gain > self._best else self._rounds_since + 1
        self._best = max(self._best, gain)
        reached = self._wanted is not None and self._target.reached(measured, self._wanted)
        return reached or (self._patience is not None and self._rounds_since >= self._patience)


def never_started(
    error: BaseException, past: Sequence[Mapping[str, object]] = (), target: Target = ACCURACY
) -> RunSummary:
    """Of a run that ended before its first round, or before the first since it was resumed."""
    return summarise(past, *_how_ended(error), None, 0.0, target=target)


def _how_ended(error: BaseException) -> tuple[str, str]:
    """Status and reason."""
    interrupted = isinstance(error, KeyboardInterrupt)
    return ("interrupted", "interrupted by the user") if interrupted else ("failed", str(error))


def summarise(
    rows: Sequence[Mapping[str, object]],
    status: str,
    error: str | None,
    model: ModelState | None,
    wall_s: float,
    weights_round: int | None = None,
    target: Target = ACCURACY,
) -> RunSummary:
    """The run in one line: last evaluated figures, sums of bytes, digest of the final weights."""

    def last(column: str) -> float | None:
        values = [row[column] for row in rows if row.get(column) is not None]
        return float(str(values[-1])) if values else None

    def total(column: str) -> int:
        return sum(int(str(row[column])) for row in rows)

    return RunSummary(
        status=status,
        rounds_completed=len(rows),
        accuracy=last("accuracy"),
        loss=last("loss"),
        client_accuracy_mean=last("client_accuracy_mean"),
        uplink_bytes=total("uplink_bytes"),
        downlink_bytes=total("downlink_bytes"),
        dense_uplink_bytes=total("dense_uplink_bytes"),
        dense_downlink_bytes=total("dense_downlink_bytes"),
        wall_s=wall_s,
        weights_sha256=weights_sha256(model) if model else None,
        error=error,
        actors_busy=_mean_busy(rows),
        weights_round=weights_round if model else None,
        target_metric=target.metric,
        target=last(TARGET_COLUMNS[0]),
        client_target_mean=last(TARGET_COLUMNS[1]),
        own_target_mean=last(OWN_COLUMNS[0]),
        own_target_worst_tenth=last(OWN_COLUMNS[1]),
    )


def _mean_busy(rows: Sequence[Mapping[str, object]]) -> float | None:
    """Mean of ``actors_busy`` over rounds, each by its length."""
    times = [
        (float(str(row["actors_busy"])), float(str(row["wall_s"]))) for row in rows if row["actors_busy"] is not None
    ]
    wall_s = sum(length_s for _, length_s in times)
    return sum(busy * length_s for busy, length_s in times) / wall_s if wall_s else None


def weights_sha256(model: ModelState) -> str:
    """SHA-256 of the flat weights as little-endian float32, in hexadecimal."""
    return hashlib.sha256(model.weights_P.astype("<f4", copy=False).tobytes()).hexdigest()
