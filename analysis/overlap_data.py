"""How alike clients choose, as Arrow tables: by round, and for each pair of clients over the run."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fedchunk.analysis.likeness import Likeness
from fedchunk.analysis.overlap import FloatArray, chance_corrected_all


def overlap_data(likeness: Likeness, rounds_R: NDArray[np.integer]) -> pa.Table:
    """A row per round: how alike a client's choice is to its own last one, and to those of the others.

    ``self_`` is the mean over clients of the Jaccard similarity with the client's choice in the round before that it
    took part in; null where no client has one. ``pair_`` is the mean over pairs of clients; null below two clients.
    Each beside what chance gives (``_expected``) and corrected for it (``_corrected``: null where chance gives 1).
    """
    columns = {"round": pa.array(rounds_R, pa.int32())}
    for name, (similarity, expected) in (("self", likeness.own_2R), ("pair", likeness.pairs_2R)):
        columns[f"{name}_jaccard"] = _nullable(similarity)
        columns[f"{name}_expected"] = _nullable(expected)
        columns[f"{name}_corrected"] = _nullable(chance_corrected_all(similarity, expected))
    return pa.table(columns)


def _nullable(values: NDArray[np.number]) -> pa.Array:
    return pa.array(np.asarray(values).ravel(), from_pandas=True)  # nan becomes null


def client_overlap_data(likeness: Likeness) -> pa.Table:
    """A row per ordered pair of clients: means over the rounds in which both took part, and these corrected.

    Clients come in the order of their similarity (:func:`by_similarity`), so that those who choose alike stand
    together. Null for a pair that never met, and ``chance_corrected`` where chance alone gives 1. No rows below two
    clients.
    """
    pairs = likeness.matrix
    if len(pairs.clients_N) < 2:
        return pa.table({"client": pa.array([], pa.int32())})
    similarity, expected = pairs.means
    corrected = chance_corrected_all(similarity, expected)
    order = by_similarity(np.where(np.isnan(corrected), similarity, corrected))
    numbers = pairs.clients_N[order]
    turned = np.ix_(order, order)
    return pa.table(
        {
            "client": pa.array(np.repeat(numbers, len(numbers)), pa.int32()),
            "other": pa.array(np.tile(numbers, len(numbers)), pa.int32()),
            "rounds": pa.array(pairs.met_NN[turned].ravel(), pa.int32()),
            "jaccard": _nullable(similarity[turned]),
            "expected_jaccard": _nullable(expected[turned]),
            "chance_corrected": _nullable(corrected[turned]),
        }
    )


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
