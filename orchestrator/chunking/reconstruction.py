"""A receiver's next weights, from what arrived and, where nothing arrived, from its own."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.chunking.layout import Layout

BLOCK_VALUES = 1 << 16
"""Values mixed at once: their temporaries stay in cache."""


def from_contributors(
    own_P: NDArray[np.float32], mask_C: NDArray[np.bool_], means: NDArray[np.float32], layout: Layout
) -> NDArray[np.float32]:
    """Takes the contributors' mean where a chunk arrived and keeps ``own_P`` elsewhere.

    Args:
        own_P: the receiver's weights.
        mask_C: the chunks that arrived.
        means: their values, one chunk behind the other.
        layout: the cut.

    Example:
        >>> own, arrived = np.zeros(4, np.float32), np.array([False, True])
        >>> from_contributors(own, arrived, np.array([7, 8], np.float32), Layout(4, 2)).tolist()
        [0.0, 0.0, 7.0, 8.0]
    """
    weights_P = own_P.copy()
    layout.paste(means, mask_C, weights_P)
    return weights_P


def with_chunks(
    weights_P: NDArray[np.float32],
    own: NDArray[np.float32],
    own_C: NDArray[np.bool_],
    layout: Layout,
    kept_C: NDArray[np.bool_] | None = None,
) -> NDArray[np.float32]:
    """The weights with the receiver's own in the chunks ``own_C``: :func:`from_contributors`, seen from the other side.

    ``own`` has the receiver's chunks ``kept_C``, one behind the other, ``own_C`` among them; None: all.

    Example:
        >>> own, stays = np.zeros(4, np.float32), np.array([True, False])
        >>> with_chunks(np.array([5, 6, 7, 8], np.float32), own, stays, Layout(4, 2)).tolist()
        [0.0, 0.0, 7.0, 8.0]
    """
    mixed_P = weights_P.copy()
    if kept_C is None:
        for place, _ in layout.places(own_C):
            mixed_P[place] = own[place]
    else:
        for place, source in layout.places_among(own_C, kept_C):
            mixed_P[place] = own[source]
    return mixed_P


def with_own_weights(
    own_P: NDArray[np.float32],
    mask_C: NDArray[np.bool_],
    means: NDArray[np.float32],
    shares_K: NDArray[np.float32],
    layout: Layout,
) -> NDArray[np.float32]:
    """FedPilot's sentence taken literally: whoever did not send a chunk counts with the receiver's own weights.

    ``x_j + sum_i a_i (x_i - x_j)`` over the contributors i of the chunk, ``sum a = 1`` over the cohort, which is
    ``(1 - s) x_j + s m`` with the contributors' mean m and their share s of the cohort's weight.

    Args:
        own_P: the receiver's weights x_j.
        mask_C: the chunks that arrived.
        means: their contributors' means m, one chunk behind the other.
        shares_K: the share s of each chunk that arrived, in order, 0 < s <= 1.
        layout: the cut.

    Example:
        >>> own, arrived = np.full(4, 2, np.float32), np.array([False, True])
        >>> means, shares = np.full(2, 6, np.float32), np.array([0.25], np.float32)
        >>> with_own_weights(own, arrived, means, shares, Layout(4, 2)).tolist()
        [2.0, 2.0, 3.0, 3.0]
    """
    weights_P = own_P.copy()
    layout.paste(means, mask_C, weights_P)
    shares_C = np.zeros(layout.num_chunks, np.float32)
    shares_C[mask_C] = shares_K
    for first, last in layout.chunk_blocks(mask_C, BLOCK_VALUES):
        here = slice(layout.bounds[first], layout.bounds[last])
        shares = np.repeat(shares_C[first:last], layout.sizes_C[first:last])
        weights_P[here] = (np.float32(1) - shares) * own_P[here] + shares * weights_P[here]
    return weights_P
