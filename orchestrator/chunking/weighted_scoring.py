"""Scores that weigh the values of a chunk one by one before they are added up."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.chunking import scoring
from fedchunk.orchestrator.chunking.layout import Layout


def fisher_weighted(
    gradient_P: NDArray[np.float32], weights_P: NDArray[np.float32], layout: Layout
) -> NDArray[np.float32]:
    """``sqrt(sum (g_i x_i)^2)`` of each chunk: what its weights are worth by the diagonal of the Fisher information.

    The square is the importance of Molchanov et al. 2019 ("Importance Estimation for Neural Network Pruning", arXiv
    1906.10771), up to a factor that of Theis et al. 2018 (Fisher pruning, arXiv 1801.05787): an estimate of what
    becomes of the loss without these weights. Both average squares over samples or batches. Training adds up the
    gradient alone, so g is the mean gradient of a client's round, and its square is smaller by the batches' variance.

    Args:
        gradient_P: the mean gradient.
        weights_P: the weights that count.
        layout: the cut.

    Example:
        >>> gradient, weights = np.array([3, 4, 1, 1], np.float32), np.array([1, 1, 0, 2], np.float32)
        >>> fisher_weighted(gradient, weights, Layout(4, 2)).tolist()
        [5.0, 2.0]
    """
    return scoring.norms(gradient_P * weights_P, layout)


def layerwise(vector_P: NDArray[np.float32], bounds: NDArray[np.int64], layout: Layout) -> NDArray[np.float32]:
    """Norms of chunks whose values are divided by the root mean square of their parameter (a tensor of the model).

    A layer is measured by its own size, as in LARS (You et al. 2017, arXiv 1708.03888) and in layer-adaptive pruning
    (LAMP, Lee et al. 2021, arXiv 2010.07611): each parameter has the same mean energy per value, so none is left out
    because its values are small. A chunk that lies in two of them takes from each its part. 0 / 0 is 0.

    Args:
        vector_P: what is to be measured.
        bounds: where the T parameters begin and end in it, T + 1 numbers from 0 to P.
        layout: the cut.

    Example:
        >>> layerwise(np.array([1, 1, 0, 0, 10, 10, 0, 0], np.float32), np.array([0, 4, 8]), Layout(8, 4)).tolist()
        [2.0, 0.0, 2.0, 0.0]
    """
    squares_T = np.add.reduceat(np.square(vector_P, dtype=np.float64), bounds[:-1])
    sizes_T = np.diff(bounds)
    factors_T = np.sqrt(np.divide(sizes_T, squares_T, out=np.zeros(len(sizes_T)), where=squares_T > 0))
    scaled_P = (vector_P * np.repeat(factors_T, sizes_T)).astype(np.float32)
    return scoring.norms(scaled_P, layout)
