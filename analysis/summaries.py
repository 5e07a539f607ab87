"""What the report says of a run in words and small tables."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from fedchunk.analysis.chunk_analyzer import ChunkAnalyzer
from fedchunk.analysis.load import Run
from fedchunk.analysis.overlap import chance_corrected
from fedchunk.analysis.overlap_data import own_overlap
from fedchunk.analysis.round_data import reason_data
from fedchunk.analysis.statistics import age_counts, age_statistics
from fedchunk.analysis.text import bytes_text, list_text, number_text, table_text

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


def missing_figures(run: Run, drawn: Collection[str], names: Collection[str]) -> list[tuple[str, str]]:
    """Which of the figures ``names`` are not ``drawn``, and why."""
    if not run.num_rounds:
        return [("all", "no round has finished")]
    return [(name, _why_missing(run, name)) for name in names if name not in drawn]


def _why_missing(run: Run, name: str) -> str:
    config = run.config
    if name == "residual":
        return f"chunk_reconstruction is {config.get('chunk_reconstruction', 'contributors')}: nothing is kept back"
    if name == "accuracy":
        return "no round was evaluated"
    if name == "consensus":
        return "clients do not exchange peer to peer, or no round was evaluated"
    if name == "sensitivity":
        return "neither energy nor reasons are recorded: no update counted, or the run is older than these columns"
    if not _has_chunks(run):
        return "no chunk was recorded; set record_chunks: true"
    if name == "importance":
        return "no client has scores that are all finite"
    if name == "client_overlap" and _partial(run):
        return "a single client took part"
    return "every client sent every chunk in every round"


def _partial(run: Run) -> bool:
    """Whether some client left out some chunk."""
    return any(not client.selected_RC.all() for client in run.clients)


def _has_chunks(run: Run) -> bool:
    return any(len(client.rounds_R) for client in run.clients)


def client_rows(clients: pa.Table) -> tuple[Sequence[str], list[list[object]]]:
    """Headers and rows of some rows of the ``clients`` table."""
    return clients.column_names, [list(row.values()) for row in clients.to_pylist()]


def chunk_texts(run: Run) -> list[tuple[str, str]]:
    """Title and text of the ChunkAnalyzer's answers, and why chunks were so many; only what was recorded."""
    texts = []
    if _has_chunks(run):
        analyzer = ChunkAnalyzer()
        whole = analyzer.analyze_chunk_distribution(run.clients, run.config)
        last = analyzer.analyze_chunk_distribution(run.clients, run.config, whole.rounds[-1])
        texts += [
            ("Chunks over all rounds", f"{whole}\n\n{_self_overlap(run)}\n{_ages(run)}"),
            (f"Chunks in round {whole.rounds[-1]}", str(last)),
            ("Importance, client by client", _importance(run)),
        ]
    reasons = sensitivity_text(run.tables["clients"])
    return [*texts, ("Why so many chunks were sent", reasons)] if reasons else texts


def _ages(run: Run) -> str:
    rounds_R = run.tables["rounds"]["round"].to_numpy()
    counts_RA = age_counts(rounds_R, ((client.rounds_R, client.age_RC) for client in run.clients))
    ages = age_statistics(counts_RA.sum(axis=0))
    return (
        f"rounds a chunk had waited at a client: mean {ages.mean:.2f}, median {ages.median}, "
        f"95th percentile {ages.p95}, at most {ages.maximum}"
    )


def _self_overlap(run: Run) -> str:
    counted = [client for client in run.clients if len(client.rounds_R) > 1]
    if not counted:
        return "no client took part twice: nothing to compare its choices with"
    similarity, expected = np.concatenate([own_overlap(client) for client in counted], axis=1).mean(axis=1)
    return (
        f"Jaccard of a client with its own last choice {similarity:.3f}, by chance {expected:.3f}, "
        f"corrected {number_text(chance_corrected(similarity, expected))}"
    )


def sensitivity_text(clients: pa.Table) -> str:
    """Why clients sent as many chunks as they did, and what these held; empty where that is not recorded."""
    counts = reason_data(clients).group_by("reason").aggregate([("clients", "sum")])
    order = [("clients_sum", "descending"), ("reason", "ascending")]
    rows = [(row["reason"], row["clients_sum"]) for row in counts.sort_by(order).to_pylist()]
    lines = [table_text(("reason", "times"), rows)] if rows else []
    energy = pc.drop_null(clients["energy"])
    if len(energy):
        mean, low, high = pc.mean(energy).as_py(), pc.min(energy).as_py(), pc.max(energy).as_py()
        lines.append(f"share of the energy in the chunks sent: mean {mean:.3f}, lowest {low:.3f}, highest {high:.3f}")
    return "\n\n".join(lines)


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
