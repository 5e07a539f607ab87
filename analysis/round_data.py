"""How a run went, round by round, as Arrow tables: coverage, ages, energy, reasons, layers, residuals, consensus."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fedchunk.analysis.layers import layer_marks
from fedchunk.analysis.load import Run
from fedchunk.analysis.statistics import IntArray, age_statistics

MAX_BINS = 250
"""Cells along an axis of a figure: about what its pixels can show."""

LAYER_ROWS = 40
"""Layers of the heat map: as many names as can be read beside it."""


def bins(count: int) -> NDArray[np.intp]:
    """Borders of at most ``MAX_BINS`` nearly equal bins over ``count`` things; first 0, last ``count``."""
    return np.unique(np.linspace(0, count, min(count, MAX_BINS) + 1).astype(np.intp))


def coverage_data(run: Run, counts_RC: IntArray) -> pa.Table:
    """A row per round: share of the chunks that anybody sent in it, that anybody sent until then, and that one sent.

    ``one_client`` is the mean over clients: where all choose the same chunks it equals ``coverage``.
    """
    sent_RC = counts_RC > 0
    rounds = run.rounds
    columns = {
        "round": rounds["round"],
        "coverage": pa.array(sent_RC.mean(axis=1)),
        "coverage_so_far": pa.array(np.logical_or.accumulate(sent_RC, axis=0).mean(axis=1)),
        "one_client": pc.divide(rounds["sensitivity_percentage"], 100.0),
    }
    return pa.table(columns)


def age_data(run: Run, counts_RA: IntArray) -> dict[str, pa.Table]:
    """``age``: mean, median, 95th percentile and worst of each round; ``age_distribution``: cells of the heat map.

    An age is the rounds that a chunk had waited at a client, before the client chose. ``limit`` is ``chunk_max_age``,
    null without. A cell is the share of its rounds' chunks and clients; both axes are binned when long.
    """
    rounds_R = run.rounds["round"].to_numpy()
    counted = np.flatnonzero(counts_RA.sum(axis=1))
    found = [age_statistics(counts_RA[i]) for i in counted]
    limit = run.config.get("chunk_max_age")
    by_round = {
        "round": pa.array(rounds_R[counted], pa.int32()),
        "mean": pa.array([ages.mean for ages in found], pa.float64()),
        "median": pa.array([ages.median for ages in found], pa.int32()),
        "p95": pa.array([ages.p95 for ages in found], pa.int32()),
        "maximum": pa.array([ages.maximum for ages in found], pa.int32()),
        "limit": pa.array([limit] * len(found), pa.int32()),
    }
    rows, columns = bins(counts_RA.shape[0]), bins(counts_RA.shape[1])
    cells = np.add.reduceat(np.add.reduceat(counts_RA, columns[:-1], axis=1), rows[:-1], axis=0)
    totals = cells.sum(axis=1, keepdims=True)
    share = np.divide(cells, totals, out=np.full(cells.shape, np.nan), where=totals > 0)
    named = _cells(rounds_R, rows, columns, ("first_age", "stop_age"))
    distribution = pa.table(named | {"share": pa.array(share.ravel(), from_pandas=True)})
    return {"age": pa.table(by_round), "age_distribution": distribution}


def _cells(
    rounds_R: NDArray[np.integer], rows: NDArray[np.intp], columns: NDArray[np.intp], names: tuple[str, str]
) -> dict[str, pa.Array]:
    """Where the cells of a grid of binned rounds by something binned lie, a row per cell."""
    first_round, first = np.meshgrid(rounds_R[rows[:-1]], columns[:-1], indexing="ij")
    last_round, stop = np.meshgrid(rounds_R[rows[1:] - 1], columns[1:], indexing="ij")
    values = {"first_round": first_round, "last_round": last_round, names[0]: first, names[1]: stop}
    return {name: pa.array(cells.ravel(), pa.int32()) for name, cells in values.items()}


def selection_data(run: Run, counts_RC: IntArray, participants_R: IntArray) -> pa.Table:
    """Cells of the heat map: share of the participants that sent a chunk; null where a round had no participant.

    Both axes are binned when long; a cell is the mean over its chunks and over its participants.
    """
    rounds_R = run.rounds["round"].to_numpy()
    chunks, rounds = bins(run.num_chunks), bins(len(rounds_R))
    sent = np.add.reduceat(np.add.reduceat(counts_RC, chunks[:-1], axis=1), rounds[:-1], axis=0)
    possible = np.add.reduceat(participants_R, rounds[:-1])[:, None] * np.diff(chunks)[None, :]
    share = np.divide(sent, possible, out=np.full(sent.shape, np.nan), where=possible > 0)
    cells = _cells(rounds_R, rounds, chunks, ("first_chunk", "stop_chunk"))
    return pa.table(cells | {"sent_share": pa.array(share.ravel(), from_pandas=True)})


def layer_selection_data(run: Run, counts_RC: IntArray, participants_R: IntArray) -> pa.Table:
    """A row per layer and round (binned when long): the share of the layer's chunks that a client sent, mean.

    A chunk that cuts through several layers counts in each. Layers are blocks where there are too many to be read.
    """
    marks = layer_marks(run.layout["parameters"].to_pylist(), LAYER_ROWS)
    rounds_R = run.rounds["round"].to_numpy()
    edges = bins(len(rounds_R))
    sent_RL = np.stack([counts_RC[:, mark.first : mark.stop].mean(axis=1) for mark in marks], axis=1)
    sums = np.add.reduceat(sent_RL, edges[:-1], axis=0)
    possible = np.add.reduceat(participants_R, edges[:-1])[:, None]
    share = np.divide(sums, possible, out=np.full(sums.shape, np.nan), where=possible > 0)
    spans = {"first_round": rounds_R[edges[:-1]], "last_round": rounds_R[edges[1:] - 1]}
    return pa.table(
        {name: pa.array(np.repeat(rounds, len(marks)), pa.int32()) for name, rounds in spans.items()}
        | {"layer": pa.array([mark.name for mark in marks] * (len(edges) - 1), pa.string())}
        | {"sent_share": pa.array(share.ravel(), from_pandas=True)}
    )


def energy_data(clients: pa.Table) -> pa.Table:
    """A row per round: mean, lowest and highest share of a client's squared scores in what it sent; and what it sent.

    ``sent_share`` is the mean share of a client's chunks that it sent.
    """
    known = clients.filter(pc.and_(pc.is_valid(clients["energy"]), pc.equal(clients["status"], "ok")))
    names = {"energy_mean": "mean", "energy_min": "minimum", "energy_max": "maximum"}
    sums = known.group_by("round").aggregate(
        [("energy", "mean"), ("energy", "min"), ("energy", "max"), ("sensitivity_percentage", "mean")]
    )
    shares = pc.divide(sums["sensitivity_percentage_mean"], 100.0)
    columns = {new: sums[old] for old, new in names.items()} | {"sent_share": shares}
    return pa.table({"round": sums["round"]} | columns).sort_by("round")


def reason_data(clients: pa.Table) -> pa.Table:
    """A row per round and reason: of how many clients it was the reason for sending so many chunks."""
    known = clients.filter(pc.and_(pc.is_valid(clients["sensitivity_reason"]), pc.equal(clients["status"], "ok")))
    counts = known.group_by(["round", "sensitivity_reason"]).aggregate([("client", "count")])
    order = [("round", "ascending"), ("reason", "ascending")]
    return (
        counts.select(["round", "sensitivity_reason", "client_count"])
        .rename_columns(["round", "reason", "clients"])
        .sort_by(order)
    )


def residual_data(clients: pa.Table) -> pa.Table:
    """A row per round: mean, lowest and highest L2 norm of what a client keeps back after sending."""
    known = clients.filter(pc.and_(pc.is_valid(clients["residual_norm"]), pc.equal(clients["status"], "ok")))
    sums = known.group_by("round").aggregate([("residual_norm", kind) for kind in ("mean", "min", "max")])
    names = {"mean": "mean", "min": "minimum", "max": "maximum"}
    columns = {new: sums[f"residual_norm_{old}"] for old, new in names.items()}
    return pa.table({"round": sums["round"]} | columns).sort_by("round")


def consensus_data(rounds: pa.Table) -> pa.Table:
    """A row per evaluated round of a run from peer to peer: mean squared distance of the clients from their mean."""
    return rounds.filter(pc.is_valid(rounds["consensus_distance"])).select(["round", "consensus_distance"])


def participants(rounds_R: NDArray[np.integer], own_rounds: Sequence[NDArray[np.integer]]) -> IntArray:
    """How many clients' updates counted in each round, shape (R,)."""
    counts_R = np.zeros(len(rounds_R), np.int64)
    for own in own_rounds:
        counts_R[np.searchsorted(rounds_R, own)] += 1
    return counts_R
