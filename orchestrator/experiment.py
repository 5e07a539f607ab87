"""The loop of an experiment: rounds in, records out. Read this first."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence

from fedchunk.orchestrator.contract.messages import ModelState, RoundResult
from fedchunk.orchestrator.contract.ports import Federation, Observer, Recorder, RunSummary
from fedchunk.orchestrator.core.errors import FedchunkError
from fedchunk.orchestrator.recording.background import Recording
from fedchunk.orchestrator.settings.sections import FederationSettings


def run_experiment(
    federation: Federation, settings: FederationSettings, recorders: Sequence[Recorder], observer: Observer
) -> RunSummary:
    """Runs the rounds and records each while the next one runs. What had finished is recorded however the run ends.

    Args:
        federation: clients and coordinator, already entered.
        settings: how many rounds, and when to stop early.
        recorders: told of every round, in this order.
        observer: told of progress.

    Returns:
        How the run ended. A failed round or Ctrl-C is a status, not an exception. A recorder that cannot start raises:
        it starts while the first round runs, which is then given up. What an observer raises ends the run as failed,
        and is raised once that is recorded.
    """
    started = time.monotonic()
    rows: list[Mapping[str, object]] = []
    status, error = "finished", None
    raised: Exception | None = None
    enough = Enough(settings.stop_avg_accuracy, settings.patience)
    with Recording(recorders, federation.info) as recording:
        try:
            for round_index in range(1, settings.federated_learning_rounds + 1):
                result = federation.run_round(round_index, _Stopping(observer, recording))
                if recording.refused:
                    break
                rows.append(result.summary)
                recording.record(result)
                observer.round_done(result)
                if enough.after(rows[-1]):
                    break
        except _Refused:
            pass  # leaving the recording says why
        except KeyboardInterrupt:
            status, error = "interrupted", "interrupted by the user"
        except FedchunkError as failure:
            status, error = "failed", str(failure)
        except Exception as surprise:
            status, error, raised = "failed", f"{type(surprise).__name__}: {surprise}", surprise
    model = federation.final_model() if rows and status != "failed" else None
    summary = summarise(rows, status, error, model, time.monotonic() - started)
    for recorder in recorders:
        recorder.finish(summary, federation.info.spec if model else None, model)
    if raised is not None:
        raise raised
    return summary


class _Refused(Exception):
    """A recorder could not start."""


class _Stopping:
    """An observer that ends a round as soon as it is known that it cannot be recorded."""

    def __init__(self, observer: Observer, recording: Recording) -> None:
        self._observer, self._recording = observer, recording

    def stage(self, name: str) -> None:
        self._observer.stage(name)

    def clients_done(self, round_index: int, done: int, cohort: int) -> None:
        if self._recording.refused:
            raise _Refused
        self._observer.clients_done(round_index, done, cohort)

    def round_done(self, result: RoundResult) -> None:
        self._observer.round_done(result)


class Enough:
    """Whether a run has got where it was to get, or gets no further."""

    def __init__(self, stop_avg_accuracy: float | None, patience: int | None) -> None:
        self._wanted, self._patience = stop_avg_accuracy, patience
        self._best = float("-inf")
        self._rounds_since = 0

    def after(self, row: Mapping[str, object]) -> bool:
        """Whether to stop after a round: its row of the ``rounds`` table. Rounds without evaluation do not count.

        The accuracy is that of the coordinator's model, or the peers' on average.
        """
        measured = row["accuracy"] if row["accuracy"] is not None else row["client_accuracy_mean"]
        if measured is None:
            return False
        accuracy = float(str(measured))
        self._rounds_since = 0 if accuracy > self._best else self._rounds_since + 1
        self._best = max(self._best, accuracy)
        reached = self._wanted is not None and accuracy >= self._wanted
        return reached or (self._patience is not None and self._rounds_since >= self._patience)


def never_started(error: BaseException) -> RunSummary:
    """Of a run that ended before its first round."""
    interrupted = isinstance(error, KeyboardInterrupt)
    status, reason = ("interrupted", "interrupted by the user") if interrupted else ("failed", str(error))
    return RunSummary(status, 0, None, None, None, 0, 0, 0, 0, 0.0, None, reason)


def summarise(
    rows: Sequence[Mapping[str, object]], status: str, error: str | None, model: ModelState | None, wall_s: float
) -> RunSummary:
    """The run in one line: last evaluated figures, sums of bytes, digest of the final weights."""

    def last(column: str) -> float | None:
        values = [row[column] for row in rows if row[column] is not None]
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
