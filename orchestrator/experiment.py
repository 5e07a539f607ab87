"""The loop of an experiment: rounds in, records out. Read this first."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence

from orchestrator.errors import FedchunkError
from orchestrator.messages import ModelState, RoundResult
from orchestrator.ports import Federation, Observer, Recorder, RunSummary
from orchestrator.settings import FederationSettings


def run_experiment(
    federation: Federation, settings: FederationSettings, recorders: Sequence[Recorder], observer: Observer
) -> RunSummary:
    """Runs the rounds and records each as it ends. What had finished is recorded however the run ends.

    Args:
        federation: clients and coordinator, already entered.
        settings: how many rounds, and when to stop early.
        recorders: told of every round, in this order.
        observer: told of progress.

    Returns:
        How the run ended. A failed round or Ctrl-C is a status, not an exception; a failure of ``start`` raises.
    """
    started = time.monotonic()
    for recorder in recorders:
        recorder.start(federation.info)
    results: list[RoundResult] = []
    status, error = "finished", None
    try:
        for round_index in range(1, settings.federated_learning_rounds + 1):
            result = federation.run_round(round_index, observer)
            results.append(result)
            for recorder in recorders:
                recorder.record_round(result)
            observer.round_done(result)
            if reached(result, settings.stop_avg_accuracy):
                break
    except KeyboardInterrupt:
        status, error = "interrupted", "interrupted by the user"
    except FedchunkError as failure:
        status, error = "failed", str(failure)
    model = federation.final_model() if results and status != "failed" else None
    summary = summarise(results, status, error, model, time.monotonic() - started)
    for recorder in recorders:
        recorder.finish(summary, federation.info.spec if model else None, model)
    return summary


def reached(result: RoundResult, stop_avg_accuracy: float | None) -> bool:
    """Whether the coordinator's model, or the peers' on average, is as accurate as the settings ask for."""
    row = result.summary
    accuracy = row["accuracy"] if row["accuracy"] is not None else row["client_accuracy_mean"]
    return stop_avg_accuracy is not None and accuracy is not None and float(str(accuracy)) >= stop_avg_accuracy


def summarise(
    results: Sequence[RoundResult], status: str, error: str | None, model: ModelState | None, wall_s: float
) -> RunSummary:
    """The run in one line: last evaluated figures, sums of bytes, digest of the final weights."""
    rows = [result.summary for result in results]

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
    )


def weights_sha256(model: ModelState) -> str:
    """SHA-256 of the flat weights as little-endian float32, in hexadecimal."""
    return hashlib.sha256(model.weights_P.astype("<f4", copy=False).tobytes()).hexdigest()
