"""Distances between two vectors, chunk by chunk. FedPilot's three, as its page defines them."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from orchestrator.chunking.layout import Layout
from orchestrator.chunking.scoring import squared_norms

Metric = Literal["cosine", "euclidean", "coordinate"]


def distances(
    metric: Metric, u_P: NDArray[np.float32], v_P: NDArray[np.float32], layout: Layout
) -> NDArray[np.float32]:
    """Distance between ``u_P`` and ``v_P`` in each chunk, summed in float64.

    ``cosine``: 1 - u.v / (|u||v|), where two zero vectors are 0 apart and a zero and a non-zero vector 1;
    ``euclidean``: |u - v|_2; ``coordinate``: sum |u_i - v_i|.

    Example:
        >>> u, v = np.array([1, 0, 3, 0], np.float32), np.array([0, 1, 3, 4], np.float32)
        >>> distances("cosine", u, v, Layout(4, 2)).round(2).tolist()
        [1.0, 0.4000000059604645]
        >>> distances("coordinate", u, v, Layout(4, 2)).tolist()
        [2.0, 4.0]
    """
    if metric == "euclidean":
        return np.sqrt(squared_norms(u_P - v_P, layout)).astype(np.float32)
    if metric == "coordinate":
        return layout.sums_C(np.abs(u_P.astype(np.float64) - v_P)).astype(np.float32)
    return _cosine(u_P, v_P, layout).astype(np.float32)


def _cosine(u_P: NDArray[np.float32], v_P: NDArray[np.float32], layout: Layout) -> NDArray[np.float64]:
    u_C, v_C = squared_norms(u_P, layout), squared_norms(v_P, layout)
    lengths_C = np.sqrt(u_C) * np.sqrt(v_C)
    dots_C = layout.sums_C(u_P.astype(np.float64) * v_P)
    both_zero_C = (u_C == 0) & (v_C == 0)
    cosines_C = np.divide(dots_C, lengths_C, out=both_zero_C.astype(np.float64), where=lengths_C > 0)
    distances_C: NDArray[np.float64] = 1.0 - np.clip(cosines_C, -1.0, 1.0)
    return distances_C
