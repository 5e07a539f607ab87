"""The numbers behind every figure, as Arrow tables. What a figure shows can be had without drawing it.

Bytes are megabytes (1,000,000 bytes) where a column ends in ``_mb``.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fedchunk.analysis.layers import layer_marks
from fedchunk.analysis.load import Run
from fedchunk.analysis.metric_data import metric_data
from fedchunk.analysis.overlap_data import client_overlap_data, overlap_data
from fedchunk.analysis.recorded import RecordedClient
from fedchunk.analysis.round_data import (
    age_data,
    bins,
    consensus_data,
    coverage_data,
    energy_data,
    layer_selection_data,
    participants,
    reason_data,
    residual_data,
    selection_data,
)
from fedchunk.analysis.statistics import age_counts, energy_captured, gini, lorenz, selection_counts

QUANTILES = (5, 25, 50, 75, 95)

COORDINATOR = -1
"""The coordinator in the ledger's ``sender`` and ``receiver`` columns; see the schema."""


def figure_data(run: Run) -> dict[str, pa.Table]:
    """The tables behind the figures of a run, by name. What was not recorded is left out, and so is what says
    nothing because every client always sent every chunk.

    - ``accuracy``: a row per evaluated round, with megabytes spent until then, also by full exchange;
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
    """
    clients = run.clients
    data = {"accuracy": accuracy_data(run), "metrics": metric_data(run.metrics)} | byte_data(run)
    counted = [client for client in run.recorded_clients if len(client.rounds_R)]
    if counted:
        data |= _choice_data(run, counted) | importance_data(counted)
    data |= {"energy": energy_data(clients), "sensitivity_reasons": reason_data(clients)}
    data |= {"residual": residual_data(clients), "consensus": consensus_data(run.rounds)}
    return {name: table for name, table in data.items() if table.num_rows}


def _choice_data(run: Run, clients: Sequence[RecordedClient]) -> dict[str, pa.Table]:
    """The tables about which chunks were sent, and when; where everything is always sent there is little to say."""
    rounds_R = run.rounds["round"].to_numpy()
    counts_RC = selection_counts(rounds_R, ((c.rounds_R, c.selected_RC) for c in clients), run.num_chunks)
    participants_R = participants(rounds_R, [client.rounds_R for client in clients])
    sent = {"chunk_selection": selection_data(run, counts_RC, participants_R), "layers": _marks(run)}
    if (counts_RC == participants_R[:, None]).all():
        return sent
    return sent | {
        "layer_selection": layer_selection_data(run, counts_RC, participants_R),
        "overlap": overlap_data(clients, rounds_R),
        "client_overlap": client_overlap_data(clients, rounds_R),
        "coverage": coverage_data(run, counts_RC),
        **age_data(run, age_counts(rounds_R, ((c.rounds_R, c.age_RC) for c in clients))),
    }


def _marks(run: Run) -> pa.Table:
    marks = layer_marks(run.layout["parameters"].to_pylist())
    layers = {
        "layer": pa.array([mark.name for mark in marks], pa.string()),
        "first_chunk": pa.array([mark.first for mark in marks], pa.int32()),
        "stop_chunk": pa.array([mark.stop for mark in marks], pa.int32()),
    }
    return pa.table(layers)


def accuracy_data(run: Run) -> pa.Table:
    """Accuracy of the evaluated rounds beside the megabytes of both directions, summed up to the round."""
    rounds = run.rounds
    names = ("round", "accuracy", "client_accuracy_mean", "client_accuracy_min", "client_accuracy_max")
    sums = {
        "uplink_mb": _megabytes_so_far(rounds["uplink_bytes"]),
        "downlink_mb": _megabytes_so_far(rounds["downlink_bytes"]),
        "total_mb": _megabytes_so_far(pc.add(rounds["uplink_bytes"], rounds["downlink_bytes"])),
        "dense_mb": _megabytes_so_far(rounds["dense_bytes"]),
    }
    table = pa.table({name: rounds[name] for name in names} | sums)
    return table.filter(pc.or_(pc.is_valid(table["accuracy"]), pc.is_valid(table["client_accuracy_mean"])))


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


def importance_data(clients: Sequence[RecordedClient]) -> dict[str, pa.Table]:
    """``importance``, ``concentration`` and ``concentration_summary`` over all rounds of all clients (M rows).

    Rows with a score that is not finite have no distribution and are left out.
    """
    scores_MC = np.concatenate([client.scores_RC for client in clients])
    selected_MC = np.concatenate([client.selected_RC for client in clients])
    finite_M = np.isfinite(scores_MC).all(axis=1)
    if not finite_M.any():
        return {}
    scores_MC, selected_MC = scores_MC[finite_M], selected_MC[finite_M]
    return {"importance": _quantiles(scores_MC, selected_MC)} | _concentration(scores_MC, selected_MC)


def _quantiles(scores_MC: NDArray[np.float32], selected_MC: NDArray[np.bool_]) -> pa.Table:
    means_M = scores_MC.mean(axis=1, dtype=np.float64, keepdims=True)
    relative_MC = np.divide(scores_MC, means_M, out=np.ones(scores_MC.shape), where=means_M > 0)
    edges = bins(scores_MC.shape[1])
    spans = list(pairwise(edges))
    quantiles = np.array([np.percentile(relative_MC[:, first:stop], QUANTILES) for first, stop in spans])
    columns = {
        "first_chunk": pa.array(edges[:-1], pa.int32()),
        "stop_chunk": pa.array(edges[1:], pa.int32()),
        **{f"p{q:02d}": pa.array(quantiles[:, i]) for i, q in enumerate(QUANTILES)},
        "sent_share": pa.array([float(selected_MC[:, first:stop].mean()) for first, stop in spans]),
    }
    return pa.table(columns)


def _concentration(scores_MC: NDArray[np.float32], selected_MC: NDArray[np.bool_]) -> dict[str, pa.Table]:
    """Mean over clients and rounds of the Lorenz curves, turned so that the most important chunk comes first."""
    squares_MC = np.square(scores_MC.astype(np.float64))
    edges = bins(scores_MC.shape[1])
    curves = [
        np.mean([1.0 - lorenz(values_C)[1][::-1][edges] for values_C in values_MC], axis=0)
        for values_MC in (scores_MC, squares_MC)
    ]
    totals_M = scores_MC.sum(axis=1, dtype=np.float64)
    held_M = np.where(selected_MC, scores_MC, 0.0).sum(axis=1, dtype=np.float64)
    score_M = np.divide(held_M, totals_M, out=np.ones_like(totals_M), where=totals_M > 0)
    curve = {"chunk_share": edges / edges[-1], "score_share": curves[0], "energy_share": curves[1]}
    summary = {
        "gini": [float(np.mean([gini(values_C) for values_C in scores_MC]))],
        "sent_share": [float(selected_MC.mean())],
        "sent_score_share": [float(score_M.mean())],
        "sent_energy_share": [float(energy_captured(scores_MC, selected_MC).mean())],
    }
    return {"concentration": pa.table(curve), "concentration_summary": pa.table(summary)}
