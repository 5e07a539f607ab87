"""Distances between two vectors, chunk by chunk. FedPilot's three, as its page defines them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, assert_never

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.chunking.layout import Layout
from fedchunk.orchestrator.chunking.square_sums import squared_norms

Metric = Literal["cosine", "euclidean", "coordinate"]


@dataclass(frozen=True)
class Squares:
    """Squared norms of the chunks of u - v, and of u and v where a metric needs them: (C,), or (G, C) of G pairs."""

    difference_C: NDArray[np.float64]
    u_C: NDArray[np.float64] | None = None
    v_C: NDArray[np.float64] | None = None

    def row(self, place: int) -> Squares:
        """Those of one of several pairs, as views."""
        u_C, v_C = (None if norms_GC is None else norms_GC[place] for norms_GC in (self.u_C, self.v_C))
        return Squares(self.difference_C[place], u_C, v_C)


def distances(
    metric: Metric,
    u_P: NDArray[np.float32],
    v_P: NDArray[np.float32],
    layout: Layout,
) -> NDArray[np.float32]:
    """Distance between ``u_P`` and ``v_P`` in each chunk.

    ``cosine``: 1 - u.v / (|u||v|), where two zero vectors are 0 apart and a zero and a non-zero vector 1;
    ``euclidean``: |u - v|_2; ``coordinate``: sum |u_i - v_i|.

    Args:
        metric: which.
        u_P: one vector.
        v_P: the other.
        layout: the cut.

    Example:
        >>> u, v = np.array([1, 0, 3, 0], np.float32), np.array([0, 1, 3, 4], np.float32)
        >>> distances("cosine", u, v, Layout(4, 2)).round(2).tolist()
        [1.0, 0.4000000059604645]
        >>> distances("coordinate", u, v, Layout(4, 2)).tolist()
        [2.0, 4.0]
    """
    match metric:
        case "coordinate":
            return layout.sums_C(np.abs(u_P.astype(np.float64) - v_P)).astype(np.float32)
        case "euclidean":
            squares = Squares(squared_norms(u_P - v_P, layout))
        case "cosine":
            norms = (squared_norms(vector_P, layout) for vector_P in (u_P - v_P, u_P, v_P))
            squares = Squares(*norms)
        case _:
            assert_never(metric)
    return by_squares(metric, squares)


def by_squares(metric: Literal["cosine", "euclidean"], squares: Squares) -> NDArray[np.float32]:
    """The same where the squared norms that the metric needs are known: (C,), or (G, C) of G pairs."""
    if metric == "euclidean":
        return np.sqrt(squares.difference_C).astype(np.float32)
    assert squares.u_C is not None
    assert squares.v_C is not None
    return _cosine(squares.u_C, squares.v_C, squares.difference_C).astype(np.float32)


def _cosine(
    u_C: NDArray[np.float64], v_C: NDArray[np.float64], difference_C: NDArray[np.float64]
) -> NDArray[np.float64]:
    """``(|u - v|^2 - (|u| - |v|)^2) / (2 |u||v|)``, by the law of cosines.

    Training moves a chunk little, so u.v and |u||v| agree in almost all digits: their difference would be rounding.
    """
    u_lengths_C, v_lengths_C = np.sqrt(u_C), np.sqrt(v_C)
    products_C = u_lengths_C * v_lengths_C
    one_zero_C = (u_C > 0) != (v_C > 0)
    excess_C = difference_C - np.square(u_lengths_C - v_lengths_C)
    distances_C: NDArray[np.float64] = np.divide(
        excess_C, 2 * products_C, out=one_zero_C.astype(np.float64), where=products_C > 0
    )
    return np.clip(distances_C, 0.0, 2.0)
