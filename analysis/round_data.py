"""How a run went, round by round, as Arrow tables: coverage, ages, energy, reasons, layers, residuals, consensus."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fedchunk.analysis.ages import Ages
from fedchunk.analysis.binning import bins
from fedchunk.analysis.choices import Choices


def coverage_data(rounds: pa.Table, choices: Choices) -> pa.Table:
    """A row per round: share of the chunks that anybody sent in it, that anybody sent until then, and that one sent.

    ``one_client`` is the mean over clients: where all choose the same chunks it equals ``coverage``.
    """
    columns = {
        "round": rounds["round"],
        "coverage": pa.array(choices.coverage_R),
        "coverage_so_far": pa.array(choices.coverage_so_far_R),
        "one_client": pc.divide(rounds["sensitivity_percentage"], 100.0),
    }
    return pa.table(columns)


def age_data(rounds_R: NDArray[np.integer], ages: Ages, limit: int | None) -> dict[str, pa.Table]:
    """``age``: mean, median, 95th percentile and worst of each round; ``age_distribution``: cells of the heat map.

    An age is the rounds that a chunk had waited at a client, before the client chose. ``limit`` is ``chunk_max_age``,
    null without. A cell is the share of its rounds' chunks and clients; both axes are binned when long.
    """
    by_round = {
        "round": pa.array(list(ages.by_round), pa.int32()),
        "mean": pa.array([one.mean for one in ages.by_round.values()], pa.float64()),
        "median": pa.array([one.median for one in ages.by_round.values()], pa.int32()),
        "p95": pa.array([one.p95 for one in ages.by_round.values()], pa.int32()),
        "maximum": pa.array([one.maximum for one in ages.by_round.values()], pa.int32()),
        "limit": pa.array([limit] * len(ages.by_round), pa.int32()),
    }
    rows, columns = bins(len(rounds_R)), bins(ages.counts_BA.shape[1])
    cells = np.add.reduceat(ages.counts_BA, columns[:-1], axis=1)
    totals = cells.sum(axis=1, keepdims=True)
    share = np.divide(cells, totals, out=np.full(cells.shape, np.nan), where=totals > 0)
    named = _cells(rounds_R, rows, columns, ("first_age", "stop_age"))
    distribution = pa.table(named | {"share": pa.array(share.ravel(), from_pandas=True)})
    return {"age": pa.table(by_round), "age_distribution": distribution}


def summary_age_data(ages: Mapping[int, tuple[float, int]], limit: int | None) -> pa.Table:
    """``age`` as far as a summary of chunks knows it: mean and worst of each round, given by round."""
    mean, maximum = zip(*ages.values(), strict=True)
    by_round = {
        "round": pa.array(list(ages), pa.int32()),
        "mean": pa.array(mean, pa.float64()),
        "median": pa.nulls(len(ages), pa.int32()),
        "p95": pa.nulls(len(ages), pa.int32()),
        "maximum": pa.array(maximum, pa.int32()),
        "limit": pa.array([limit] * len(ages), pa.int32()),
    }
    return pa.table(by_round)


def _cells(
    rounds_R: NDArray[np.integer], rows: NDArray[np.intp], columns: NDArray[np.intp], names: tuple[str, str]
) -> dict[str, pa.Array]:
    """Where the cells of a grid of binned rounds by something binned lie, a row per cell."""
    first_round, first = np.meshgrid(rounds_R[rows[:-1]], columns[:-1], indexing="ij")
    last_round, stop = np.meshgrid(rounds_R[rows[1:] - 1], columns[1:], indexing="ij")
    values = {"first_round": first_round, "last_round": last_round, names[0]: first, names[1]: stop}
    return {name: pa.array(cells.ravel(), pa.int32()) for name, cells in values.items()}


def selection_data(choices: Choices) -> pa.Table:
    """Cells of the heat map: share of the participants that sent a chunk; null where a round had no participant.

    Both axes are binned when long; a cell is the mean over its chunks and over its participants.
    """
    chunks, rounds = bins(choices.num_chunks), bins(len(choices.rounds_R))
    possible = np.add.reduceat(choices.participants_R, rounds[:-1])[:, None] * np.diff(chunks)[None, :]
    share = np.divide(choices.sent_cells, possible, out=np.full(possible.shape, np.nan), where=possible > 0)
    cells = _cells(choices.rounds_R, rounds, chunks, ("first_chunk", "stop_chunk"))
    return pa.table(cells | {"sent_share": pa.array(share.ravel(), from_pandas=True)})


def layer_selection_data(choices: Choices) -> pa.Table:
    """A row per layer and round (binned when long): the share of the layer's chunks that a client sent, mean.

    A chunk that cuts through several layers counts in each. Layers are blocks where there are too many to be read.
    """
    names, rounds_R = [mark.name for mark in choices.layers], choices.rounds_R
    edges = bins(len(rounds_R))
    possible = np.add.reduceat(choices.participants_R, edges[:-1])[:, None]
    sent = choices.sent_layers
    share = np.divide(sent, possible, out=np.full(sent.shape, np.nan), where=possible > 0)
    spans = {"first_round": rounds_R[edges[:-1]], "last_round": rounds_R[edges[1:] - 1]}
    return pa.table(
        {name: pa.array(np.repeat(rounds, len(names)), pa.int32()) for name, rounds in spans.items()}
        | {"layer": pa.array(names * (len(edges) - 1), pa.string())}
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
