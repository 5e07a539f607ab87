"""What the report says of a run in words and small tables."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analysis.chunk_analyzer import ChunkAnalyzer
from analysis.load import Run
from analysis.statistics import age_statistics
from analysis.text import bytes_text, list_text, number_text, table_text

CLIENTS_SHOWN = 50
"""Clients in the table of importance: as many as a page can hold."""


def headline(run: Run) -> list[tuple[str, str]]:
    """How the run ended, and its last measured figures; from the tables, so that a killed run has them too."""
    rounds = run.tables["rounds"]
    clients = run.tables["clients"]
    lost = pc.sum(pc.not_equal(clients["status"], "ok")).as_py() or 0
    lines = [
        ("status", "still running, or killed" if run.status == "running" else run.status),
        ("finished rounds", str(run.num_rounds)),
        ("clients that took part", str(len(run.clients))),
        ("updates that did not count", str(lost)),
        ("chunks", str(run.num_chunks)),
        ("accuracy of the coordinator's model", _last_percent(rounds, "accuracy")),
        ("mean accuracy of the clients' own models", _last_percent(rounds, "client_accuracy_mean")),
        ("time of all rounds", f"{pc.sum(rounds['wall_s']).as_py() or 0.0:.1f} s"),
    ]
    error = run.summary.get("error")
    return [*lines, ("error", str(error))] if error else lines


def _last_percent(rounds: pa.Table, column: str) -> str:
    known = rounds.filter(pc.is_valid(rounds[column]))
    if not known.num_rows:
        return "not measured"
    row = known.slice(known.num_rows - 1).to_pylist()[0]
    return f"{100 * row[column]:.2f} % (round {row['round']})"


def byte_rows(run: Run) -> list[tuple[str, str, str, str]]:
    """Uplink, downlink and both: what was sent, what full exchange would have cost, and the difference."""
    rounds = run.tables["rounds"]
    sums = {
        name: int(pc.sum(rounds[name]).as_py() or 0)
        for name in ("uplink_bytes", "downlink_bytes", "dense_uplink_bytes", "dense_downlink_bytes")
    }
    up, down = (
        (sums["uplink_bytes"], sums["dense_uplink_bytes"]),
        (sums["downlink_bytes"], sums["dense_downlink_bytes"]),
    )
    both = (up[0] + down[0], up[1] + down[1])
    return [
        (name, bytes_text(sent), bytes_text(dense), f"{round(100 * (1 - sent / dense), 1) + 0.0} %" if dense else "-")
        for name, (sent, dense) in (("uplink", up), ("downlink", down), ("both", both))
    ]


def missing_figures(run: Run) -> list[tuple[str, str]]:
    """Figures that cannot be drawn, and why."""
    rounds = run.tables["rounds"]
    notes = []
    if not rounds.num_rows:
        return [("all", "no round has finished")]
    if all(rounds[name].null_count == rounds.num_rows for name in ("accuracy", "client_accuracy_mean")):
        notes.append(("accuracy", "no round was evaluated"))
    if not _has_chunks(run):
        notes.append(("chunks", "no chunk was recorded; set record_chunks: true"))
    return notes


def _has_chunks(run: Run) -> bool:
    return any(len(client.rounds_R) for client in run.clients)


def client_rows(clients: pa.Table) -> tuple[Sequence[str], list[list[object]]]:
    """Headers and rows of some rows of the ``clients`` table."""
    return clients.column_names, [list(row.values()) for row in clients.to_pylist()]


def chunk_texts(run: Run) -> list[tuple[str, str]]:
    """Title and text of the ChunkAnalyzer's answers; none where no chunk was recorded."""
    if not _has_chunks(run):
        return []
    analyzer = ChunkAnalyzer()
    whole = analyzer.analyze_chunk_distribution(run.clients, run.config)
    last = analyzer.analyze_chunk_distribution(run.clients, run.config, whole.rounds[-1])
    return [
        ("Chunks over all rounds", f"{whole}\n\n{_ages(run)}"),
        (f"Chunks in round {whole.rounds[-1]}", str(last)),
        ("Importance, client by client", _importance(run)),
    ]


def _ages(run: Run) -> str:
    ages = age_statistics(np.concatenate([client.age_RC.ravel() for client in run.clients]))
    return (
        f"rounds a chunk had waited at a client: mean {ages.mean:.2f}, median {ages.median:.0f}, "
        f"95th percentile {ages.p95:.0f}, at most {ages.maximum}"
    )


def _importance(run: Run) -> str:
    analyzer = ChunkAnalyzer()
    shown = [client for client in run.clients if len(client.rounds_R)]
    found = [analyzer.get_chunk_importance_distribution(client, run.config) for client in shown[:CLIENTS_SHOWN]]
    headers = ("client", "mean score", "highest", "Gini", "effective chunks", "energy sent", "most important")
    rows = [
        (
            f.client,
            f.mean,
            f.maximum,
            f.gini,
            f.effective_chunks,
            number_text(f.energy_captured),
            list_text(f.top_chunks),
        )
        for f in found
    ]
    more = len(shown) - len(found)
    return table_text(headers, rows) + (f"\n... {more} clients more" if more else "")
