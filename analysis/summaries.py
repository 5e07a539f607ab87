"""What the report says of a run in words and small tables."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import fields

import pyarrow as pa
import pyarrow.compute as pc

from fedchunk.analysis.chunk_analyzer import distribution_of, importance_of
from fedchunk.analysis.chunk_study import ChunkStudy
from fedchunk.analysis.judged import best_round, target_of
from fedchunk.analysis.load import Run
from fedchunk.analysis.method import Method, method_of
from fedchunk.analysis.overlap import chance_corrected
from fedchunk.analysis.round_data import reason_data
from fedchunk.analysis.text import bytes_text, list_text, number_text, table_text
from fedchunk.orchestrator.core.target import ACCURACY, OWN_COLUMNS


def headline(run: Run) -> list[tuple[str, str]]:
    """How the run ended, and its last measured figures; from the tables, so that a killed run has them too."""
    rounds = run.rounds
    clients = run.clients
    lost = pc.sum(pc.not_equal(clients["status"], "ok")).as_py() or 0
    lines = [
        ("status", ended(run)),
        ("finished rounds", str(run.num_rounds)),
        ("clients that took part", str(pc.count_distinct(clients["client"]).as_py())),
        ("updates that did not count", str(lost)),
        ("chunks", str(run.num_chunks)),
        *target_rows(run),
        ("time of all rounds", f"{pc.sum(rounds['wall_s']).as_py() or 0.0:.1f} s"),
    ]
    if (origin := run.config.get("forked_from")) is not None:
        lines.append(("forked from", f"{origin['run']} after round {origin['round']}"))
    error = run.summary.get("error")
    return [*lines, ("error", str(error))] if error else lines


def target_rows(run: Run) -> list[tuple[str, str]]:
    """The last values of what the run is judged by, and the round in which it was at its best."""
    target, best = target_of(run), best_round(run)
    names = (f"{target.metric} of the coordinator's model", f"mean {target.metric} of the clients' own models")
    rows = [(name, last_value(run, column)) for name, column in zip(names, target.columns[:2], strict=True)]
    own = zip(("mean of them on their own samples", "worst tenth of these"), OWN_COLUMNS, strict=True)
    rows += [(name, last_value(run, column)) for name, column in own if last_known(run.rounds, column) is not None]
    return rows if best is None else [*rows, ("best round", f"{best[0]} ({target.text(best[1], digits=2)})")]


def ended(run: Run) -> str:
    """The status in words."""
    return "still running, or killed" if run.status == "running" else run.status


def last_known(rounds: pa.Table, column: str) -> tuple[float, int] | None:
    """The last value of a column that is not null, and its round; None if all are."""
    known = rounds.filter(pc.is_valid(rounds[column]))
    if not known.num_rows:
        return None
    return known[column][-1].as_py(), known["round"][-1].as_py()


def last_value(run: Run, column: str) -> str:
    """The same of a column of what the run is judged by, in words."""
    known = last_known(run.rounds, column)
    return f"{target_of(run).text(known[0], digits=2)} (round {known[1]})" if known else "not measured"


def byte_rows(run: Run) -> list[tuple[str, str, str, str]]:
    """Uplink, downlink and both: what was sent, what full exchange would have cost, and the difference."""
    rounds = run.rounds
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


def method_rows(run: Run) -> list[tuple[str, object]]:
    """What was in force of the exchange, by its names in :class:`Method`; nothing of what chunking off leaves out."""
    method = method_of(run.config)
    return [(field.name, value) for field in fields(Method) if (value := getattr(method, field.name)) is not None]


def component_rows(run: Run) -> list[tuple[str, str, str, str]]:
    """The user's own components: setting, name, place and SHA-256 of the source."""
    found = run.config.get("components") or {}
    return [(key, *(str(one.get(part, "")) for part in ("name", "place", "sha256"))) for key, one in found.items()]


def missing_figures(run: Run, drawn: Collection[str], names: Collection[str]) -> list[tuple[str, str]]:
    """Which of the figures ``names`` are not ``drawn``, and why."""
    if not run.num_rounds:
        return [("all", "no round has finished")]
    other = "target" if target_of(run) == ACCURACY else "accuracy"
    return [(name, _why_missing(run, name)) for name in names if name not in (*drawn, other)]


def _why_missing(run: Run, name: str) -> str:
    if name == "residual":
        rule = method_of(run.config).exchange_rule
        return f"{f'chunk_reconstruction is {rule}' if rule else 'chunking is off'}: nothing is kept back"
    if name == "metrics":
        return "nothing was measured beside accuracy and loss; name metrics in the setting of this name"
    if name in ("accuracy", "target"):
        return "no round was evaluated"
    if name == "consensus":
        return "clients do not exchange peer to peer, or no round was evaluated"
    if name == "sensitivity":
        return "neither energy nor reasons are recorded: no update counted, or the run is older than these columns"
    study = run.chunk_study
    if study is None:
        if run.summary_study is None:
            return "no chunk was recorded; set record_chunks: full"
        if name == "importance":
            return "no client has scores that are all finite"
        if name == "client_overlap" and not run.summary_study.choices.everything:
            return "choices of single clients were not recorded; set record_chunks: full"
        return "every client sent every chunk in every round"
    if name == "importance":
        return "no client has scores that are all finite"
    if name == "client_overlap" and not study.choices.everything:
        return "a single client took part"
    return "every client sent every chunk in every round"


def client_rows(clients: pa.Table) -> tuple[Sequence[str], list[list[object]]]:
    """Headers and rows of some rows of the ``clients`` table."""
    return clients.column_names, [list(row.values()) for row in clients.to_pylist()]


def chunk_texts(run: Run) -> list[tuple[str, str]]:
    """Title and text of the ChunkAnalyzer's answers, and why chunks were so many; only what was recorded."""
    texts, study = [], run.chunk_study
    if study is not None:
        whole, last = (
            distribution_of(part.choices, part.likeness.pairs, run.config) for part in (study, study.last_round)
        )
        texts += [
            ("Chunks over all rounds", f"{whole}\n\n{_self_overlap(study)}\n{_ages(study)}"),
            (
                f"Chunks in round {whole.rounds[-1]}",
                str(last),
            ),
            ("Importance, client by client", _importance(run, study)),
        ]
    reasons = sensitivity_text(run.clients)
    return [*texts, ("Why so many chunks were sent", reasons)] if reasons else texts


def _ages(study: ChunkStudy) -> str:
    ages = study.ages.of_all
    return (
        f"rounds a chunk had waited at a client: mean {ages.mean:.2f}, median {ages.median}, "
        f"95th percentile {ages.p95}, at most {ages.maximum}"
    )


def _self_overlap(study: ChunkStudy) -> str:
    if study.likeness.own is None:
        return "no client took part twice: nothing to compare its choices with"
    similarity, expected = study.likeness.own
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


def _importance(run: Run, study: ChunkStudy) -> str:
    shown = study.scores.clients_N.tolist()
    found = [importance_of(study.scores, client, run.config) for client in shown if study.scores.rounds[client]]
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
    more = len(study.choices.clients_N) - len(shown)
    return table_text(headers, rows) + (f"\n... {more} clients more" if more else "")
