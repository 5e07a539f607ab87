"""Yogi on the server (FedYogi): as adam, but the squares follow slowly when changes suddenly become small."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.chunking.layout import Layout
from fedchunk.orchestrator.methods.server_optimizers._chunks import (
    adapted,
    faded,
    step_where_sent,
)
from fedchunk.orchestrator.settings.option_types import Fading, PositiveFloat32


def yogi(
    change_P: NDArray[np.float32],
    sent_C: NDArray[np.bool_],
    state: Mapping[str, NDArray[Any]],
    layout: Layout,
    beta_1: Fading = 0.9,
    beta_2: Fading = 0.99,
    tau: PositiveFloat32 = 1e-3,
) -> tuple[NDArray[np.float32], dict[str, NDArray[Any]]]:
    """``m`` as in adam, ``v = v - (1 - beta_2) change^2 sign(v - change^2)``, and the step is ``m / (sqrt(v) + tau)``.

    FedYogi (Reddi et al. 2021, Adaptive Federated Optimization, algorithm 2), from v = 0 and without correction of the
    bias, as Flower's ``FedYogi``. v never moves by more than ``(1 - beta_2) change^2``, so a few small changes do not
    make it, and with it the steps, forget the large ones before them.

    A chunk that nobody sent keeps m and v and is not stepped.

    Args:
        change_P: the aggregated change, in units of the model; 0 in chunks that nobody sent.
        sent_C: which chunks somebody sent.
        state: what the round before returned, or empty; only read.
        layout: how the vector is cut.
        beta_1: what stays of m per round in which the chunk is sent, 0 <= beta_1 < 1.
        beta_2: 1 minus the share of the squared change by which v moves, 0 <= beta_2 < 1.
        tau: how far from adaptive the steps are, in units of the model, > 0.

    Returns:
        The step, (P,), before it is multiplied by the server's learning rate; and the state: ``mean_P``, ``squares_P``.

    Example:
        >>> state = {"mean_P": np.zeros(2, np.float32), "squares_P": np.array([9, 0], np.float32)}
        >>> step_P, state = yogi(np.array([2, 2], np.float32), np.array([True]), state, Layout(2, 1), 0.0, 0.5)
        >>> state["squares_P"].tolist()
        [7.0, 2.0]
    """

    def rule(
        change: NDArray[np.float32], mean: NDArray[np.float32], squares: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], ...]:
        mean, energies = faded(mean, change, beta_1), np.square(change)
        moved: NDArray[np.float32] = np.copysign((1 - beta_2) * energies, squares - energies)
        squares = np.where(squares == energies, squares, squares - moved)  # the sign of 0 is 0
        return adapted(mean, squares, tau), mean, squares

    return step_where_sent(rule, ("mean_P", "squares_P"), change_P, sent_C, state, layout)
