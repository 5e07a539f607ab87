"""Error feedback: what was not sent, and what encoding lost, is kept and sent later.

With the residual e, this round's change d and what the receiver saw of the message C(e + d):
``sent + residual == e + d``, so everything that was ever sent plus the residual is the sum of all changes.
(Seide et al. 2014; Karimireddy et al. 2019, "Error Feedback Fixes SignSGD", algorithm 1; on both sides, Tang et al.
2019, "DoubleSqueeze".) Changes that were withheld for long are large, so their sum must be divided by the whole
cohort's weight: a mean over the few who sent a chunk is too long a step and diverges.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.chunking.layout import Layout
from fedchunk.orchestrator.chunking.scoring import length


def withheld_after(
    pending_P: NDArray[np.float32],
    mask_C: NDArray[np.bool_],
    seen: NDArray[np.float32],
    layout: Layout,
) -> NDArray[np.float32]:
    """What stays with the sender: everything pending, less what the receiver saw.

    Args:
        pending_P: what there was to send: the residual and this round's change.
        mask_C: the chunks that were sent.
        seen: their values as the receiver sees them, one chunk behind the other.
        layout: the cut.

    Example:
        >>> pending, sent = np.array([1, 2, 3, 4], np.float32), np.array([False, True])
        >>> withheld_after(pending, sent, np.array([3, 3.5], np.float32), Layout(4, 2)).tolist()
        [1.0, 2.0, 0.0, 0.5]
    """
    withheld_P = pending_P.copy()
    layout.add(-seen, mask_C, withheld_P)
    return withheld_P


def withheld_of(
    pending_P: NDArray[np.float32],
    mask_C: NDArray[np.bool_],
    lost: NDArray[np.float32],
    layout: Layout,
    *,
    in_place: bool = False,
) -> NDArray[np.float32]:
    """:func:`withheld_after` for the sender itself, who knows what the encoding ``lost`` of the values that were sent.

    ``in_place``: write over ``pending_P``, which no message is a view of.

    Example:
        >>> pending, sent = np.array([1, 2, 3, 4], np.float32), np.array([False, True])
        >>> withheld_of(pending, sent, np.array([0, 0.5], np.float32), Layout(4, 2)).tolist()
        [1.0, 2.0, 0.0, 0.5]
    """
    withheld_P = pending_P if in_place else pending_P.copy()
    layout.paste(lost, mask_C, withheld_P)
    return withheld_P


def residual_norm(
    withheld_P: NDArray[np.float32],
    mask_C: NDArray[np.bool_],
    lost: NDArray[np.float32],
    squares_C: NDArray[np.float64] | None = None,
) -> float:
    """L2 norm of what stays with the sender.

    Args:
        withheld_P: what :func:`withheld_of` gave.
        mask_C: the chunks that were sent.
        lost: what is left of their values.
        squares_C: squared norms of all chunks before they were sent: only those that were have others now.

    Example:
        >>> sent, lost = np.array([False, True]), np.array([0, 12], np.float32)
        >>> residual_norm(np.array([3, 4, 0, 12], np.float32), sent, lost, np.array([25.0, 1000.0]))
        13.0
    """
    if squares_C is None:
        return length(withheld_P)
    return math.sqrt(float(squares_C[~mask_C].sum()) + float(np.square(lost, dtype=np.float64).sum()))
