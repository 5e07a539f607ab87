"""How many chunks each tensor is cut into, where chunks end at tensors' borders."""

from __future__ import annotations

from heapq import heapify, heapreplace

import numpy as np
from numpy.typing import NDArray


def pieces_of(sizes_T: NDArray[np.int64], num_chunks: int) -> NDArray[np.int64]:
    """Shares ``num_chunks`` chunks out among tensors, so that the longest chunk is as short as it can be.

    Each tensor gets one; every further one goes to the tensor whose chunks are longest by then, among equals to the
    first. That is the method of D'Hondt for seats and votes. Let C chunks be of T tensors of P values, and L their
    longest mean, ``max sizes_T / pieces_T``. A tensor that was cut had no shorter mean before its last cut, so

    - ``L <= P / (C - T)``;
    - a tensor that is cut has chunks of ``L / 2`` values or more on average.

    Args:
        sizes_T: values of each tensor, 1 or more.
        num_chunks: T at least, and at most as many as there are values.

    Returns:
        Chunks of each tensor, (T,): 1 or more, at most its values.

    Example:
        >>> pieces_of(np.array([100, 10, 300]), 8).tolist()
        [2, 1, 5]
    """
    tensors = len(sizes_T)
    # By the first bound no tensor ends with fewer than that, and what is left to be given is at most one for each.
    sure_T = -(-sizes_T * (num_chunks - tensors) // int(sizes_T.sum()))
    pieces = np.maximum(1, sure_T).tolist()
    sizes = sizes_T.tolist()
    queue = [(-size / count, tensor) for tensor, (size, count) in enumerate(zip(sizes, pieces, strict=True))]
    heapify(queue)
    for _ in range(num_chunks - sum(pieces)):
        _, tensor = queue[0]
        pieces[tensor] += 1
        heapreplace(queue, (-sizes[tensor] / pieces[tensor], tensor))
    return np.array(pieces, np.int64)


def cut_evenly(sizes_T: NDArray[np.int64], pieces_T: NDArray[np.int64]) -> NDArray[np.int64]:
    """Borders of the pieces, one tensor behind the other: piece j of n begins at ``floor(j * size / n)`` of its tensor.

    Returns:
        One more than there are pieces, from 0 to all values.

    Example:
        >>> cut_evenly(np.array([10, 3]), np.array([4, 1])).tolist()
        [0, 2, 5, 7, 10, 13]
    """
    firsts_T = np.cumsum(pieces_T) - pieces_T
    numbers = np.arange(int(pieces_T.sum())) - np.repeat(firsts_T, pieces_T)
    starts_T = np.cumsum(sizes_T) - sizes_T
    starts = np.repeat(starts_T, pieces_T) + numbers * np.repeat(sizes_T, pieces_T) // np.repeat(pieces_T, pieces_T)
    return np.append(starts, sizes_T.sum())
