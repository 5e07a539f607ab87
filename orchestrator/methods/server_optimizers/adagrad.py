"""Adagrad on the server (FedAdagrad): the change over the root of the sum of all squared changes so far."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.chunking.layout import Layout
from fedchunk.orchestrator.methods.server_optimizers._chunks import adapted, step_where_sent
from fedchunk.orchestrator.settings.option_types import PositiveFloat32


def adagrad(
    change_P: NDArray[np.float32],
    sent_C: NDArray[np.bool_],
    state: Mapping[str, NDArray[Any]],
    layout: Layout,
    tau: PositiveFloat32 = 1e-3,
) -> tuple[NDArray[np.float32], dict[str, NDArray[Any]]]:
    """``v = v + change^2``, and the step is ``change / (sqrt(v) + tau)``.

    FedAdagrad (Reddi et al. 2021, Adaptive Federated Optimization, algorithm 2) with ``beta_1 = 0`` and from v = 0, as
    Flower's ``FedAdagrad``.

    A chunk that nobody sent keeps its v and is not stepped.

    Args:
        change_P: the aggregated change, in units of the model; 0 in chunks that nobody sent.
        sent_C: which chunks somebody sent.
        state: what the round before returned, or empty; only read.
        layout: how the vector is cut.
        tau: how far from adaptive the steps are, in units of the model, > 0.

    Returns:
        The step, (P,), at most 1, before it is multiplied by the server's learning rate; and the state: ``squares_P``.

    Example:
        >>> change_P, sent_C, layout = np.array([3, 0], np.float32), np.array([True]), Layout(2, 1)
        >>> adagrad(change_P, sent_C, {"squares_P": np.array([16, 0], np.float32)}, layout, tau=1.0)[0].tolist()
        [0.5, 0.0]
    """

    def rule(change: NDArray[np.float32], old: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        squares = np.square(change)
        squares += old
        return adapted(change, squares, tau), squares

    return step_where_sent(rule, ("squares_P",), change_P, sent_C, state, layout)
