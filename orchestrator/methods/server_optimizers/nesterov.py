"""Nesterov momentum on the server: as momentum, but the step looks one round ahead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.chunking.layout import Layout
from fedchunk.orchestrator.methods.server_optimizers._chunks import step_where_sent
from fedchunk.orchestrator.settings.option_types import Fading


def nesterov(
    change_P: NDArray[np.float32],
    sent_C: NDArray[np.bool_],
    state: Mapping[str, NDArray[Any]],
    layout: Layout,
    server_momentum: Fading = 0.9,
) -> tuple[NDArray[np.float32], dict[str, NDArray[Any]]]:
    """``v = server_momentum * v + change``, and the step is ``change + server_momentum * v``.

    That is the form of PyTorch's SGD with ``nesterov=True``, after Sutskever et al. 2013, with the change in place of
    the gradient. Flower has no such strategy. With ``server_momentum = 0``, this is plain FedAvg.

    A chunk that nobody sent keeps its v and is not stepped: its momentum waits instead of fading or moving on.

    Args:
        change_P: the aggregated change, in units of the model; 0 in chunks that nobody sent.
        sent_C: which chunks somebody sent.
        state: what the round before returned, or empty; only read.
        layout: how the vector is cut.
        server_momentum: what stays of v per round in which the chunk is sent, 0 <= server_momentum < 1.

    Returns:
        The step, (P,), before it is multiplied by the server's learning rate; and the state: ``velocity_P``.

    Example:
        >>> nesterov(np.array([2, 4], np.float32), np.array([True]), {}, Layout(2, 1), server_momentum=0.5)[0].tolist()
        [3.0, 6.0]
    """

    def rule(change: NDArray[np.float32], old: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        velocity = server_momentum * old
        velocity += change
        step = server_momentum * velocity
        step += change
        return step, velocity

    return step_where_sent(rule, ("velocity_P",), change_P, sent_C, state, layout)
