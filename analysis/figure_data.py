"""The numbers behind every figure, as Arrow tables. What a figure shows can be had without drawing it.

Bytes are megabytes (1,000,000 bytes) where a column ends in ``_mb``.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fedchunk.analysis.chunk_study import ChunkStudy
from fedchunk.analysis.chunk_summary import SummaryStudy
from fedchunk.analysis.importance import Importance
from fedchunk.analysis.judged import target_of
from fedchunk.analysis.layers import layer_marks
from fedchunk.analysis.load import Run
from fedchunk.analysis.metric_data import metric_data
from fedchunk.analysis.overlap_data import client_overlap_data, overlap_data
from fedchunk.analysis.round_data import (
    age_data,
    consensus_data,
    coverage_data,
    energy_data,
    layer_selection_data,
    reason_data,
    residual_data,
    selection_data,
    summary_age_data,
)
from fedchunk.orchestrator.core.records import QUANTILES
from fedchunk.orchestrator.core.target import ACCURACY, OWN_COLUMNS

COORDINATOR = -1
"""The coordinator in the ledger's ``sender`` and ``receiver`` columns; see the schema."""


def figure_data(run: Run) -> dict[str, pa.Table]:
    """The tables behind the figures of a run, by name. What was not recorded is left out, and so is what says
    nothing because every client always sent every chunk.

    - ``accuracy`` (of runs that are judged by something else ``target``, with its name in ``metric``): a row per
      evaluated round, with megabytes spent until then, also by full exchange;
    - ``metrics``: a row per further metric and round;
    - ``bytes`` and ``full_exchange``: bytes of a round by direction (and kind);
    - ``chunk_selection``: a row per cell of the heat map, share of the participants that sent the chunk;
    - ``layers``: the layers' marks on the chunk axis;
    - ``layer_selection``: a row per layer and round, share of the layer's chunks that a client sent;
    - ``overlap``: by round, similarity of a client's choice to its last one and to the others', raw and corrected;
    - ``client_overlap``: a row per pair of clients, the same over the run, similar clients beside each other;
    - ``coverage``: by round, share of the chunks that anybody sent, then and so far;
    - ``age`` and ``age_distribution``: by round, how long chunks had waited at their clients;
    - ``importance``: quantiles of the scores of each chunk, relative to the mean chunk of the same client and round;
    - ``concentration``: the Lorenz curve, most important chunk first, and the same of squared scores (energy);
    - ``concentration_summary``: Gini, share sent and what the sent chunks held;
    - ``energy`` and ``sensitivity_reasons``: by round, what the sent chunks held, and why they were so many;
    - ``residual`` and ``consensus``: by round, what clients keep back, and how far apart they are.

    With ``record_chunks: summary`` there are fewer: nothing of single clients, and ``importance`` has means over rounds
    of the quantiles of each round.
    """
    clients = run.clients
    judged = "accuracy" if target_of(run) == ACCURACY else "target"
    data = {judged: accuracy_data(run), "metrics": metric_data(run.metrics)} | byte_data(run)
    study = run.chunk_study
    if study is not None:
        data |= _choice_data(run, study) | importance_data(study.importance)
    elif run.summary_study is not None:
        data |= _summary_data(run, run.summary_study)
    data |= {"energy": energy_data(clients), "sensitivity_reasons": reason_data(clients)}
    data |= {"residual": residual_data(clients), "consensus": consensus_data(run.rounds)}
    return {name: table for name, table in data.items() if table.num_rows}


def _choice_data(run: Run, study: ChunkStudy) -> dict[str, pa.Table]:
    """The tables about which chunks were sent, and when; where everything is always sent there is little to say."""
    choices = study.choices
    sent = {"chunk_selection": selection_data(choices), "layers": _marks(run)}
    if choices.everything:
        return sent
    return sent | {
        "layer_selection": layer_selection_data(choices),
        "overlap": overlap_data(study.likeness, choices.rounds_R),
        "client_overlap": client_overlap_data(study.likeness),
        "coverage": coverage_data(run.rounds, choices),
        **age_data(choices.rounds_R, study.ages, run.config.get("chunk_max_age")),
    }


def _summary_data(run: Run, study: SummaryStudy) -> dict[str, pa.Table]:
    """The same, as far as a table without single clients goes."""
    choices, quantiles = study.choices, study.quantiles_QB
    data = {"chunk_selection": selection_data(choices), "layers": _marks(run)}
    if not choices.everything:
        data |= {"layer_selection": layer_selection_data(choices), "coverage": coverage_data(run.rounds, choices)}
        data["age"] = summary_age_data(study.ages, run.config.get("chunk_max_age"))
    if quantiles is not None:
        data["importance"] = _quantile_table(study.edges, quantiles, study.sent_share_B)
    return data


def _quantile_table(
    edges: NDArray[np.intp], quantiles_QB: NDArray[np.float64], sent_share_B: NDArray[np.float64]
) -> pa.Table:
    columns = {
        "first_chunk": pa.array(edges[:-1], pa.int32()),
        "stop_chunk": pa.array(edges[1:], pa.int32()),
        **{f"p{q:02d}": pa.array(quantiles_QB[i]) for i, q in enumerate(QUANTILES)},
        "sent_share": pa.array(sent_share_B),
    }
    return pa.table(columns)


def _marks(run: Run) -> pa.Table:
    marks = layer_marks(run.layout["parameters"].to_pylist())
    layers = {
        "layer": pa.array([mark.name for mark in marks], pa.string()),
        "first_chunk": pa.array([mark.first for mark in marks], pa.int32()),
        "stop_chunk": pa.array([mark.stop for mark in marks], pa.int32()),
    }
    return pa.table(layers)


def accuracy_data(run: Run) -> pa.Table:
    """Accuracy, or what else counts, of evaluated rounds beside the megabytes of both directions up to the round."""
    rounds, target = run.rounds, target_of(run)
    own_samples = [name for name in OWN_COLUMNS if rounds[name].null_count < rounds.num_rows]
    names = ("round", *target.columns, *own_samples)
    sums = {
        "uplink_mb": _megabytes_so_far(rounds["uplink_bytes"]),
        "downlink_mb": _megabytes_so_far(rounds["downlink_bytes"]),
        "total_mb": _megabytes_so_far(pc.add(rounds["uplink_bytes"], rounds["downlink_bytes"])),
        "dense_mb": _megabytes_so_far(rounds["dense_bytes"]),
    }
    table = pa.table({name: rounds[name] for name in names} | sums)
    if target != ACCURACY:
        table = table.append_column("metric", pa.array([target.metric] * table.num_rows, pa.string()))
    own, mean, *_ = (table[column] for column in target.columns)
    return table.filter(pc.or_(pc.is_valid(own), pc.is_valid(mean)))


def _megabytes_so_far(column: pa.ChunkedArray) -> pa.Array:
    return pa.array(np.cumsum(column.to_numpy(), dtype=np.int64) / 1e6)


def byte_data(run: Run) -> dict[str, pa.Table]:
    """``bytes`` by round, direction and kind from the ledger; ``full_exchange`` by round and direction.

    A message between two clients is in both directions: one sent it, the other received it.
    """
    ledger, rounds = run.ledger, run.rounds
    directions = {"uplink": "sender", "downlink": "receiver"}
    parts, dense = [], []
    for direction, end in directions.items():
        of_clients = ledger.filter(pc.not_equal(ledger[end], COORDINATOR))
        sums = of_clients.group_by(["round", "kind"]).aggregate([("bytes", "sum")])
        sums = sums.append_column("direction", pa.array([direction] * sums.num_rows, pa.string()))
        parts.append(sums.select(["round", "direction", "kind", "bytes_sum"]))
        names = pa.array([direction] * rounds.num_rows, pa.string())
        dense.append(
            pa.table({"round": rounds["round"], "direction": names, "bytes": rounds[f"dense_{direction}_bytes"]})
        )
    order = [("direction", "descending"), ("round", "ascending"), ("kind", "ascending")]
    parts_table = pa.concat_tables(parts).rename_columns(["round", "direction", "kind", "bytes"]).sort_by(order)
    return {"bytes": parts_table, "full_exchange": pa.concat_tables(dense)}


def importance_data(importance: Importance) -> dict[str, pa.Table]:
    """``importance``, ``concentration`` and ``concentration_summary`` over all rounds of all clients.

    Clients' rounds with a score that is not finite have no distribution and are left out. Quantiles are those of
    :class:`fedchunk.analysis.quantiles.QuantileSketch`; curves start at the most important chunk.
    """
    if not importance.rows:
        return {}
    edges, quantiles_QB = importance.edges, importance.quantiles.quantiles(QUANTILES)
    scores, energy = importance.curves
    curve = {"chunk_share": edges / edges[-1], "score_share": scores, "energy_share": energy}
    gini, score_share, energy_share = importance.shares
    summary = {
        "gini": [gini],
        "sent_share": [importance.sent_share],
        "sent_score_share": [score_share],
        "sent_energy_share": [energy_share],
    }
    return {
        "importance": _quantile_table(edges, quantiles_QB, importance.sent_share_B),
        "concentration": pa.table(curve),
        "concentration_summary": pa.table(summary),
    }
