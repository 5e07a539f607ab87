"""The tables of a run: Arrow schemas with units and null rules, and what builds rows of them.

This module is all that :mod:`analysis` knows of the orchestrator. ``docs/tables.md`` is checked against it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

SCHEMA_VERSION = "1"
"""Raised when a column changes its meaning or goes; a new nullable column does not raise it."""


def _field(name: str, kind: pa.DataType, unit: str, doc: str, *, null: str = "") -> pa.Field:
    """A column. ``null`` says when it is null; empty means never."""
    metadata = {"unit": unit, "doc": doc, "null": null or "never"}
    return pa.field(name, kind, nullable=bool(null), metadata=metadata)


_ROUND = _field("round", pa.int32(), "round", "The round, from 1.")
_CLIENT = _field("client", pa.int32(), "client", "The client, from 0.")

ROUNDS = [
    _ROUND,
    _field("participants", pa.int32(), "clients", "Clients whose update counted."),
    _field("failed", pa.int32(), "clients", "Clients of the cohort whose update did not count."),
    _field(
        "accuracy", pa.float64(), "share", "Accuracy of the coordinator's model on the whole test set.",
        null="the round was not evaluated, or the task has no accuracy",
    ),
    _field(
        "loss", pa.float64(), "nat", "Mean loss of the coordinator's model on the whole test set.",
        null="the round was not evaluated",
    ),
    _field(
        "client_accuracy_mean", pa.float64(), "share",
        "Mean accuracy, on the whole test set, of the cohort's own models after reconstruction.",
        null="evaluate_clients is off, the round was not evaluated, or the task has no accuracy",
    ),
    _field("client_accuracy_min", pa.float64(), "share", "The worst of them.", null="as client_accuracy_mean"),
    _field("client_accuracy_max", pa.float64(), "share", "The best of them.", null="as client_accuracy_mean"),
    _field(
        "target", pa.float64(), "", "target_metric of the coordinator's model on the whole test set.",
        null="it is accuracy, or the round was not evaluated",
    ),
    _field(
        "client_target_mean", pa.float64(), "",
        "Mean target_metric, on the whole test set, of the cohort's own models after reconstruction.",
        null="it is accuracy, evaluate_clients is off, or the round was not evaluated",
    ),
    _field("client_target_min", pa.float64(), "", "The least of them.", null="as client_target_mean"),
    _field("client_target_max", pa.float64(), "", "The most of them.", null="as client_target_mean"),
    _field(
        "own_target_mean", pa.float64(), "",
        "Mean target_metric (accuracy, too) of the cohort's own models, each on its client's own kept samples.",
        null="client_test_share is 0, evaluate_clients is off in a star, the round was not evaluated, or no client has "
        "such samples",
    ),
    _field(
        "own_target_worst_tenth", pa.float64(), "", "Mean of the worst tenth of them, rounded up to whole clients.",
        null="as own_target_mean",
    ),
    _field(
        "consensus_distance", pa.float64(), "", "Mean squared distance of the clients' models from their mean.",
        null="not peer to peer, or the round was not evaluated",
    ),
    _field(
        "residual_norm", pa.float64(), "", "Mean L2 norm of what clients keep back after sending.",
        null="chunk_reconstruction is contributors or own_weights",
    ),
    _field("train_loss", pa.float64(), "nat", "Mean local training loss, weighted by samples."),
    _field("uplink_bytes", pa.int64(), "byte", "All bytes that clients sent."),
    _field("downlink_bytes", pa.int64(), "byte", "All bytes that clients received."),
    _field("dense_uplink_bytes", pa.int64(), "byte", "Uplink that full exchange would have cost."),
    _field("dense_downlink_bytes", pa.int64(), "byte", "Downlink that full exchange would have cost."),
    _field("dense_bytes", pa.int64(), "byte", "Both directions of full exchange."),
    _field("coverage", pa.float64(), "share", "Chunks that at least one client sent, of all chunks."),
    _field("sensitivity_percentage", pa.float64(), "percent", "Mean share of its chunks that a client sent."),
    _field("train_s", pa.float64(), "second", "Sum of the clients' training times."),
    _field("aggregate_s", pa.float64(), "second", "Time the coordinator spent checking and adding payloads."),
    _field("evaluate_s", pa.float64(), "second", "Time spent waiting for evaluation."),
    _field(
        "actors_busy", pa.float64(), "share", "Time that client actors worked, of the round's time on all of them.",
        null="the run is older than this column",
    ),
    _field("wall_s", pa.float64(), "second", "From the first order to the round's end."),
]  # fmt: skip

CLIENTS = [
    _ROUND,
    _CLIENT,
    _field("status", pa.string(), "", "'ok', 'rejected' (its payload did not pass the checks) or 'failed'."),
    _field("reason", pa.string(), "", "Why the update did not count.", null="status is 'ok'"),
    _field("samples", pa.int64(), "sample", "Training samples of the client."),
    _field("train_loss", pa.float64(), "nat", "Mean loss of its local training.", null="status is 'failed'"),
    _field("chunks_sent", pa.int32(), "chunk", "Chunks in its payload.", null="status is 'failed'"),
    _field(
        "sensitivity_percentage", pa.float64(), "percent", "Share of its chunks that it sent.",
        null="status is 'failed'",
    ),
    _field(
        "sensitivity_reason", pa.string(), "", "Why it sent so many chunks: the policy, and what capped or raised it.",
        null="status is 'failed'",
    ),
    _field(
        "energy", pa.float64(), "share", "Share of its summed squared scores that the chunks it sent hold.",
        null="status is 'failed', or all scores are 0",
    ),
    _field(
        "residual_norm", pa.float64(), "", "L2 norm of what it keeps back after sending.",
        null="chunk_reconstruction is contributors or own_weights, or status is 'failed'",
    ),
    _field(
        "accuracy", pa.float64(), "share", "Accuracy of its own model after reconstruction, whole test set.",
        null="as client_accuracy_mean of rounds, or status is 'failed'",
    ),
    _field(
        "own_target", pa.float64(), "", "target_metric of the same model on the client's own samples that are kept.",
        null="as own_target_mean of rounds, status is 'failed', or it has no such sample",
    ),
    _field("uplink_bytes", pa.int64(), "byte", "Bytes it sent."),
    _field("downlink_bytes", pa.int64(), "byte", "Bytes it received."),
    _field(
        "train_s", pa.float64(), "second", "Time of its local training; clients trained at once share theirs evenly.",
        null="status is 'failed'",
    ),
    _field(
        "training", pa.string(), "", "How it was trained: one by one or at once with its group, and why.",
        null="status is 'failed'",
    ),
    _field("attempts", pa.int32(), "call", "How often it was asked; more than 1 after a lost actor."),
]  # fmt: skip

CHUNKS = [
    _ROUND,
    _CLIENT,
    _field("chunk", pa.int32(), "chunk", "The chunk, from 0."),
    _field(
        "score", pa.float32(), "",
        "How much the chunk mattered to the client; the rule is in config.yaml. 0 with chunking off.",
    ),
    _field(
        "distance", pa.float32(), "", "distance_metric between the chunk after and before local training.",
        null="chunking is off",
    ),
    _field("selected", pa.bool_(), "", "Whether the client sent it."),
    _field("age", pa.int32(), "round", "Rounds it has waited since the client last sent it; 0 if sent last round."),
]  # fmt: skip

QUANTILES = (5, 25, 50, 75, 95)
"""Percentiles of scores that are kept of each chunk."""

CHUNK_SUMMARY = [
    _ROUND,
    _field("chunk", pa.int32(), "chunk", "The chunk, from 0."),
    _field("clients", pa.int32(), "clients", "Clients whose update counted."),
    _field("sent", pa.int32(), "clients", "How many of them sent the chunk."),
    *(
        _field(
            f"score_p{percent:02d}", pa.float32(), "",
            f"Percentile {percent} over clients of the score, relative to the client's mean chunk.",
            null="no client has scores that are all finite",
        )
        for percent in QUANTILES
    ),
    _field("age_mean", pa.float32(), "round", "Rounds it has waited since the client last sent it, mean over clients."),
    _field("age_max", pa.int32(), "round", "The longest of them."),
]  # fmt: skip

LAYOUT = [
    _field("chunk", pa.int32(), "chunk", "The chunk, from 0."),
    _field("start", pa.int64(), "value", "First value of the flat vector that it covers."),
    _field("stop", pa.int64(), "value", "One past its last value."),
    _field("parameters", pa.list_(pa.string()), "", "The parameters (layers) that it covers, in order."),
]

LEDGER = [
    _ROUND,
    _field("sender", pa.int32(), "client", "A client, or -1 for the coordinator."),
    _field("receiver", pa.int32(), "client", "A client, or -1 for the coordinator."),
    _field(
        "kind",
        pa.string(),
        "",
        "header, mask, choice (what to send), scales, shares, buffers, values; scores (to agree); rejected.",
    ),
    _field("bytes", pa.int64(), "byte", "What this part of the message really occupied."),
]

METRICS = [
    _ROUND,
    _field(
        "client", pa.int32(), "client", "The client whose own model was measured, from 0.",
        null="the coordinator's model was",
    ),
    _field("name", pa.string(), "", "The metric; of one with several figures, metric/figure (per_class/3)."),
    _field(
        "value", pa.float64(), "",
        "Its value over the whole test set; where the name begins with own/, over the client's own samples.",
    ),
]  # fmt: skip

ACTIVITIES = ("wait", "fetch", "train", "score", "pack", "aggregate", "evaluate", "record")
"""What actors are found doing in the ``profile`` table."""

PROFILE = [
    _ROUND,
    _field("actor", pa.string(), "", "Host and process id of a client actor; 'coordinator'; 'driver', which records."),
    _field("activity", pa.string(), "", f"{', '.join(ACTIVITIES[:-1])} or {ACTIVITIES[-1]}."),
    _field("clients", pa.int32(), "clients", "For how many clients at once; 0 where for none in particular."),
    _field("start_s", pa.float64(), "second", "When it began, since the beginning of the first round."),
    _field("duration_s", pa.float64(), "second", "How long it took."),
]


def _schema(name: str, fields: Sequence[pa.Field]) -> pa.Schema:
    return pa.schema(list(fields), metadata={"table": name, "fedchunk_schema_version": SCHEMA_VERSION})


SCHEMAS: Mapping[str, pa.Schema] = {
    "rounds": _schema("rounds", ROUNDS),
    "clients": _schema("clients", CLIENTS),
    "chunks": _schema("chunks", CHUNKS),
    "chunk_summary": _schema("chunk_summary", CHUNK_SUMMARY),
    "layout": _schema("layout", LAYOUT),
    "ledger": _schema("ledger", LEDGER),
    "metrics": _schema("metrics", METRICS),
    "profile": _schema("profile", PROFILE),
}
"""Name of a table -> its schema. File names are ``tables/<name>.parquet``."""

ROUND_TABLES = ("rounds", "clients", "chunks", "chunk_summary", "ledger", "metrics")
"""The tables that grow with every round; ``layout`` is written once."""

OPTIONAL_TABLES = ("profile",)
"""Tables that only some runs have, written at their end."""


def table_from_rows(name: str, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """A table of schema ``name`` from dictionaries; refuses a missing column that may not be null."""
    schema = SCHEMAS[name]
    return checked(name, pa.Table.from_pylist([dict(row) for row in rows], schema=schema))


def table_from_columns(name: str, columns: Mapping[str, Any]) -> pa.Table:
    """A table of schema ``name`` from one array or sequence per column."""
    schema = SCHEMAS[name]
    arrays = [pa.array(columns[field.name], type=field.type) for field in schema]
    return checked(name, pa.Table.from_arrays(arrays, schema=schema))


def checked(name: str, table: pa.Table) -> pa.Table:
    """``table`` itself, after checking that columns which are never null have no nulls."""
    for field, column in zip(SCHEMAS[name], table.columns, strict=True):
        if not field.nullable and column.null_count:
            raise ValueError(f"table {name}: column {field.name!r} is never null, got {column.null_count} nulls")
    return table
