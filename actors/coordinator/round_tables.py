"""One round's facts as rows of the tables. Arithmetic only: nothing is measured here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from fedchunk.actors.coordinator.evaluation import Evaluated
from fedchunk.actors.coordinator.ledger import Ledger
from fedchunk.orchestrator.contract.evaluation import EvaluationSums
from fedchunk.orchestrator.contract.messages import RoundResult, Span
from fedchunk.orchestrator.contract.reports import ClientReport
from fedchunk.orchestrator.contract.spans import SpanRecorder
from fedchunk.orchestrator.core.errors import group_reasons
from fedchunk.orchestrator.core.records import QUANTILES, SCHEMAS, table_from_columns, table_from_rows
from fedchunk.orchestrator.core.target import ACCURACY_COLUMNS, OWN_COLUMNS, TARGET_COLUMNS, Target


@dataclass(frozen=True)
class RoundFacts:
    """What a round left behind. Mappings are by client; ``samples`` has the whole cohort in order."""

    round_index: int
    num_chunks: int
    samples: Mapping[int, int]
    reports: Mapping[int, ClientReport]
    """Of the clients that answered, rejected ones among them."""
    attempts: Mapping[int, int]
    failed: Mapping[int, str]
    rejected: Mapping[int, str]
    evaluated: Evaluated
    metrics: Mapping[str, float]
    """What else was measured of the coordinator's model, by name."""
    client_metrics: Mapping[int, Mapping[str, float]]
    """The same of clients' own models."""
    own_metrics: Mapping[int, Mapping[str, float]]
    """The same of them on their clients' own samples, as far as these are enough."""
    target: Target
    """What the run is judged by."""
    consensus_distance: float | None
    dense_bytes_each_way: int
    """What full exchange would have cost in each direction."""
    record_chunks: Literal["full", "summary"] | bool
    aggregate_s: float
    evaluate_s: float
    busy: float
    """Share of their time that the client actors worked, 0 to 1."""
    wall_s: float

    @property
    def counted(self) -> list[ClientReport]:
        """Reports of the clients whose update counted, in client order."""
        return [self.reports[c] for c in self.samples if c in self.reports and c not in self.rejected]


@dataclass(frozen=True)
class PlayedRound:
    """A round that is over, and has yet to be written down: that can be done while the next one runs."""

    facts: RoundFacts
    ledger: Ledger
    spans: tuple[Span, ...]
    profiled: bool
    """Whether anybody asks for the spans."""

    def result(self) -> RoundResult:
        """The round as rows of the tables."""
        recorder = SpanRecorder("coordinator")
        with recorder.doing("record"):
            tables = round_tables(self.facts, self.ledger)
        problems = group_reasons({**self.facts.failed, **self.facts.rejected})
        spans = (*self.spans, *recorder.read_out()) if self.profiled else ()
        return RoundResult(self.facts.round_index, tables, tuple(problems), spans)


def round_tables(facts: RoundFacts, ledger: Ledger) -> dict[str, pa.Table]:
    """The round's rows of each table that grows."""
    return {
        "rounds": table_from_rows("rounds", [_round_row(facts, ledger)]),
        "clients": table_from_rows("clients", [_client_row(facts, ledger, client) for client in facts.samples]),
        "chunks": _chunks(facts),
        "chunk_summary": _chunk_summary(facts),
        "ledger": ledger.table(),
        "metrics": _metrics(facts),
    }


def busy_share(spans: Iterable[Span], wall_s: float, actors: int) -> float:
    """Time that client actors worked, of the time that they had."""
    return min(1.0, sum(span.duration_s for span in spans) / (wall_s * actors))


def _round_row(facts: RoundFacts, ledger: Ledger) -> dict[str, Any]:
    counted, scores = facts.counted, facts.evaluated.scores
    sent_C = np.any([report.selected_C for report in counted], axis=0)
    dense = facts.dense_bytes_each_way
    residuals = [report.residual_norm for report in counted if report.residual_norm is not None]
    return {
        "round": facts.round_index,
        "participants": len(counted),
        "failed": len(facts.samples) - len(counted),
        **_judged(ACCURACY_COLUMNS, facts, "accuracy"),
        "loss": scores.loss if scores else None,
        **_judged(TARGET_COLUMNS, facts, "" if facts.target.metric == "accuracy" else facts.target.metric),
        **_judged_on_own(facts),
        "consensus_distance": facts.consensus_distance,
        "residual_norm": float(np.mean(residuals)) if residuals else None,
        "train_loss": float(np.average([r.train_loss for r in counted], weights=[r.num_samples for r in counted])),
        "uplink_bytes": ledger.uplink_bytes(),
        "downlink_bytes": ledger.downlink_bytes(),
        "dense_uplink_bytes": dense,
        "dense_downlink_bytes": dense,
        "dense_bytes": 2 * dense,
        "coverage": float(np.mean(sent_C)),
        "sensitivity_percentage": float(np.mean([report.sensitivity_percentage for report in counted])),
        "train_s": sum(report.train_s for report in facts.reports.values()),
        "aggregate_s": facts.aggregate_s,
        "evaluate_s": facts.evaluate_s,
        "actors_busy": facts.busy,
        "wall_s": facts.wall_s,
    }


def _judged(columns: tuple[str, ...], facts: RoundFacts, metric: str) -> dict[str, float | None]:
    """A metric of the coordinator's model, and of the clients' own models mean, least and most; nulls without one."""
    scores, of_all = facts.evaluated.scores, facts.evaluated.clients
    clients = [_measured(sums, facts.client_metrics.get(c, facts.metrics), metric) for c, sums in of_all.items()]
    known = [value for value in clients if value is not None]
    own = _measured(scores, facts.metrics, metric) if scores else None
    of_clients = (float(np.mean(known)), min(known), max(known)) if known else (None, None, None)
    return dict(zip(columns, (own, *of_clients), strict=True))


def _judged_on_own(facts: RoundFacts) -> dict[str, float | None]:
    """What the run is judged by, of the clients' own models on their own samples: mean and worst tenth."""
    known = [value for client in facts.evaluated.own if (value := _own_target(facts, client)) is not None]
    values = (float(np.mean(known)), facts.target.worst_tenth(known)) if known else (None, None)
    return dict(zip(OWN_COLUMNS, values, strict=True))


def _own_target(facts: RoundFacts, client: int) -> float | None:
    """The same of one client."""
    sums = facts.evaluated.own.get(client)
    return None if sums is None else _measured(sums, facts.own_metrics.get(client, {}), facts.target.metric)


def _measured(sums: EvaluationSums, metrics: Mapping[str, float], metric: str) -> float | None:
    """A metric of one model. Of one label a sample accuracy is known without being asked for."""
    return sums.accuracy if metric == "accuracy" and sums.accuracy is not None else metrics.get(metric)


def _client_row(facts: RoundFacts, ledger: Ledger, client: int) -> dict[str, Any]:
    report = facts.reports.get(client)
    score = facts.evaluated.clients.get(client)
    return {
        "round": facts.round_index,
        "client": client,
        "status": "failed" if client in facts.failed else "rejected" if client in facts.rejected else "ok",
        "reason": facts.failed.get(client, facts.rejected.get(client)),
        "samples": facts.samples[client],
        "train_loss": report.train_loss if report else None,
        "chunks_sent": report.chunks_sent if report else None,
        "sensitivity_percentage": report.sensitivity_percentage if report else None,
        "sensitivity_reason": report.sensitivity_reason if report else None,
        "energy": _energy(report) if report else None,
        "residual_norm": report.residual_norm if report else None,
        "accuracy": score.accuracy if score else None,
        "own_target": _own_target(facts, client),
        "uplink_bytes": ledger.uplink_bytes(client),
        "downlink_bytes": ledger.downlink_bytes(client),
        "train_s": report.train_s if report else None,
        "training": report.training if report else None,
        "attempts": facts.attempts[client],
    }


def _energy(report: ClientReport) -> float | None:
    """Share of a client's summed squared scores that the chunks it sent hold."""
    energies_C = np.square(report.scores_C, dtype=np.float64)
    total = float(energies_C.sum())
    return float(energies_C[report.selected_C].sum()) / total if total else None


def _metrics(facts: RoundFacts) -> pa.Table:
    rows: list[tuple[int | None, str, float]] = [(None, name, value) for name, value in facts.metrics.items()]
    rows += [(client, name, value) for client, named in facts.client_metrics.items() for name, value in named.items()]
    own = ((client, name, value) for client, named in facts.own_metrics.items() for name, value in named.items())
    rows += [(client, f"own/{name}", value) for client, name, value in own]
    clients, names, values = zip(*rows, strict=True) if rows else ((), (), ())
    columns = {"round": [facts.round_index] * len(rows), "client": clients, "name": names, "value": values}
    return table_from_columns("metrics", columns)


def _chunks(facts: RoundFacts) -> pa.Table:
    counted = facts.counted
    if facts.record_chunks != "full" or not counted:
        return SCHEMAS["chunks"].empty_table()
    size = facts.num_chunks
    columns: dict[str, Any] = {
        "round": np.full(len(counted) * size, facts.round_index, np.int32),
        "client": np.repeat(np.array([report.client_id for report in counted], np.int32), size),
        "chunk": np.tile(np.arange(size, dtype=np.int32), len(counted)),
        "score": np.concatenate([report.scores_C for report in counted]),
        "selected": np.concatenate([report.selected_C for report in counted]),
        "age": np.concatenate([report.age_C for report in counted]),
    }
    distances = [report.distances_C for report in counted if report.distances_C is not None]
    columns["distance"] = np.concatenate(distances) if distances else [None] * (len(counted) * size)
    return table_from_columns("chunks", columns)


def _chunk_summary(facts: RoundFacts) -> pa.Table:
    counted = facts.counted
    if facts.record_chunks != "summary" or not counted:
        return SCHEMAS["chunk_summary"].empty_table()
    ages_NC = np.stack([report.age_C for report in counted])
    columns: dict[str, Any] = {
        "round": np.full(facts.num_chunks, facts.round_index, np.int32),
        "chunk": np.arange(facts.num_chunks, dtype=np.int32),
        "clients": np.full(facts.num_chunks, len(counted), np.int32),
        "sent": np.sum([report.selected_C for report in counted], axis=0, dtype=np.int32),
        "age_mean": ages_NC.mean(axis=0),
        "age_max": ages_NC.max(axis=0),
    }
    scores_NC = np.stack([report.scores_C for report in counted])
    scores_NC = scores_NC[np.isfinite(scores_NC).all(axis=1)]
    means_N = scores_NC.mean(axis=1, dtype=np.float64, keepdims=True)
    relative_NC = np.divide(scores_NC, means_N, out=np.ones(scores_NC.shape), where=means_N > 0)
    quantiles_QC = np.percentile(relative_NC, QUANTILES, axis=0) if len(relative_NC) else [None] * len(QUANTILES)
    for percent, values_C in zip(QUANTILES, quantiles_QC, strict=True):
        columns[f"score_p{percent:02d}"] = [None] * facts.num_chunks if values_C is None else values_C
    return table_from_columns("chunk_summary", columns)
