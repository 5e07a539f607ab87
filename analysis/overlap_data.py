"""How alike clients choose, as Arrow tables: by round, and for each pair of clients over the run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fedchunk.analysis.overlap import (
    BoolArray,
    FloatArray,
    agreement,
    chance_corrected_all,
    expected_jaccards,
    expected_matrix,
    jaccard_matrix,
    successive_jaccard,
)
from fedchunk.analysis.recorded import RecordedClient

MATRIX_CLIENTS = 250
"""Clients of the matrix at most: about what its pixels can show."""


def overlap_data(clients: Sequence[RecordedClient], rounds_R: NDArray[np.integer]) -> pa.Table:
    """A row per round: how alike a client's choice is to its own last one, and to those of the others.

    ``self_`` is the mean over clients of the Jaccard similarity with the client's choice in the round before that it
    took part in; null where no client has one. ``pair_`` is the mean over pairs of clients; null below two clients.
    Each beside what chance gives (``_expected``) and corrected for it (``_corrected``: null where chance gives 1).
    """
    own = _self_overlap(clients, rounds_R)
    pairs = np.full((2, len(rounds_R)), np.nan)
    for i, (_, selected_NC) in enumerate(_by_round(clients, rounds_R)):
        found = agreement(selected_NC)
        if found:
            pairs[:, i] = found.jaccard, found.expected_jaccard
    columns = {"round": pa.array(rounds_R, pa.int32())}
    for name, (similarity, expected) in (("self", own), ("pair", pairs)):
        columns[f"{name}_jaccard"] = _nullable(similarity)
        columns[f"{name}_expected"] = _nullable(expected)
        columns[f"{name}_corrected"] = _nullable(chance_corrected_all(similarity, expected))
    return pa.table(columns)


def _nullable(values: NDArray[np.number]) -> pa.Array:
    return pa.array(np.asarray(values).ravel(), from_pandas=True)  # nan becomes null


def _by_round(
    clients: Sequence[RecordedClient], rounds_R: NDArray[np.integer]
) -> Iterator[tuple[NDArray[np.intp], BoolArray]]:
    """For each round the places of the clients that took part, and what they selected."""
    for round_index in rounds_R:
        rows = [client.rows_of(int(round_index)) for client in clients]
        members = np.flatnonzero([len(own) for own in rows])
        yield members, np.concatenate([client.selected_RC[own] for client, own in zip(clients, rows, strict=True)])


def own_overlap(client: RecordedClient) -> FloatArray:
    """Similarity of each of a client's choices but the first with the one before, and by chance; shape (2, R - 1)."""
    sizes = client.selected_RC.sum(axis=1)
    expected = expected_jaccards(sizes[:-1], sizes[1:], client.num_chunks) if len(sizes) > 1 else np.zeros(0)
    return np.stack((successive_jaccard(client.selected_RC), expected))


def _self_overlap(clients: Sequence[RecordedClient], rounds_R: NDArray[np.integer]) -> FloatArray:
    """Means of :func:`own_overlap` over the clients, nan where no client has one; shape (2, R)."""
    sums, counts = np.zeros((2, len(rounds_R))), np.zeros(len(rounds_R))
    for client in clients:
        places = np.searchsorted(rounds_R, client.rounds_R[1:])
        sums[:, places] += own_overlap(client)
        counts[places] += 1
    return np.asarray(np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0))


def client_overlap_data(clients: Sequence[RecordedClient], rounds_R: NDArray[np.integer]) -> pa.Table:
    """A row per ordered pair of clients: means over the rounds in which both took part, and these corrected.

    Clients come in the order of their similarity (:func:`by_similarity`), so that those who choose alike stand
    together. Of more than ``MATRIX_CLIENTS`` every so many are taken. Null for a pair that never met, and
    ``chance_corrected`` where chance alone gives 1. No rows below two clients.
    """
    if len(clients) < 2:
        return pa.table({"client": pa.array([], pa.int32())})
    places = np.unique(np.linspace(0, len(clients) - 1, min(len(clients), MATRIX_CLIENTS)).round().astype(np.intp))
    shown = [clients[i] for i in places]
    similarity, expected, met = _mean_matrices(shown, rounds_R)
    corrected = chance_corrected_all(similarity, expected)
    order = by_similarity(np.where(np.isnan(corrected), similarity, corrected))
    numbers = np.array([client.client for client in shown])[order]
    turned = np.ix_(order, order)
    return pa.table(
        {
            "client": pa.array(np.repeat(numbers, len(numbers)), pa.int32()),
            "other": pa.array(np.tile(numbers, len(numbers)), pa.int32()),
            "rounds": pa.array(met[turned].ravel(), pa.int32()),
            "jaccard": _nullable(similarity[turned]),
            "expected_jaccard": _nullable(expected[turned]),
            "chance_corrected": _nullable(corrected[turned]),
        }
    )


def _mean_matrices(
    clients: Sequence[RecordedClient], rounds_R: NDArray[np.integer]
) -> tuple[FloatArray, FloatArray, NDArray[np.int64]]:
    """Similarity and what chance gives, means over common rounds (nan: none), and their number; each (N, N)."""
    size = len(clients)
    sums, met = np.zeros((2, size, size)), np.zeros((size, size), np.int64)
    for members, selected_NC in _by_round(clients, rounds_R):
        if len(members):
            cells = np.ix_(members, members)
            sums[0][cells] += jaccard_matrix(selected_NC)
            sums[1][cells] += expected_matrix(selected_NC.sum(axis=1), selected_NC.shape[1])
            met[cells] += 1
    means = np.divide(sums, met, out=np.full(sums.shape, np.nan), where=met > 0)
    return means[0], means[1], met


def by_similarity(similarity_NN: FloatArray) -> NDArray[np.intp]:
    """An order of N things in which similar ones are near each other; ties keep their order.

    The order of the entries of the Fiedler vector: it solves the relaxed problem of minimising
    ``sum_ij s_ij (place_i - place_j)^2`` (Atkins, Boman and Hendrickson 1998, "A Spectral Algorithm for Seriation").
    Unknown similarities (nan) count as the mean.
    """
    known = ~np.isnan(similarity_NN) & ~np.eye(len(similarity_NN), dtype=np.bool_)
    if not known.any() or np.ptp(similarity_NN[known]) < 1e-9:
        return np.arange(len(similarity_NN))
    weights = np.where(known, similarity_NN, similarity_NN[known].mean())
    weights -= weights.min()
    np.fill_diagonal(weights, 0.0)
    _, vectors = np.linalg.eigh(np.diag(weights.sum(axis=1)) - weights)
    fiedler = vectors[:, 1] if vectors[0, 1] <= 0 else -vectors[:, 1]  # the first thing in the first half
    return np.argsort(fiedler.round(9), kind="stable")
