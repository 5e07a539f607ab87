"""Adam on the server (FedAdam): the running mean of the changes over the root of the running mean of their squares."""

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


def adam(
    change_P: NDArray[np.float32],
    sent_C: NDArray[np.bool_],
    state: Mapping[str, NDArray[Any]],
    layout: Layout,
    beta_1: Fading = 0.9,
    beta_2: Fading = 0.99,
    tau: PositiveFloat32 = 1e-3,
) -> tuple[NDArray[np.float32], dict[str, NDArray[Any]]]:
    """``m = beta_1 m + (1 - beta_1) change``, ``v = beta_2 v + (1 - beta_2) change^2``, step ``a m / (sqrt(v) + tau)``.

    Moments and step are FedAdam's (Reddi et al. 2021, Adaptive Federated Optimization, algorithm 2), from v = 0. The
    factor ``a = sqrt(1 - beta_2^(n + 1)) / (1 - beta_1^(n + 1))`` corrects the bias of moments that began at 0, as
    Kingma and Ba 2014 do just before their section 2.1, who have n where Flower's ``FedAdam`` has n + 1. This is
    Flower's form: with all chunks sent in every round, n is the round and the models are Flower's.

    A chunk that nobody sent keeps m and v and is not stepped. n counts the rounds in which the chunk was sent, this
    one included, chunk by chunk: the bias comes from the changes that m and v have seen, not from rounds that passed.

    Args:
        change_P: the aggregated change, in units of the model; 0 in chunks that nobody sent.
        sent_C: which chunks somebody sent.
        state: what the round before returned, or empty; only read.
        layout: how the vector is cut.
        beta_1: what stays of m per round in which the chunk is sent, 0 <= beta_1 < 1.
        beta_2: the same of v, 0 <= beta_2 < 1.
        tau: how far from adaptive the steps are, in units of the model, > 0: changes well below it are hardly
            scaled up.

    Returns:
        The step, (P,), about 1 where changes keep their sign, before it is multiplied by the server's learning rate;
        and the state: ``mean_P``, ``squares_P`` and ``rounds_C`` (n).

    Example:
        >>> step_P, _ = adam(np.array([1, -4], np.float32), np.array([True]), {}, Layout(2, 1), 0.5, 0.5, 1e-9)
        >>> step_P.round(3).tolist()  # sqrt(1 - 0.25) / (1 - 0.25) * 0.5 / sqrt(0.5)
        [0.8159999847412109, -0.8159999847412109]
    """

    def rule(
        change: NDArray[np.float32], mean: NDArray[np.float32], squares: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], ...]:
        mean, squares = faded(mean, change, beta_1), faded(squares, np.square(change), beta_2)
        return adapted(mean, squares, tau), mean, squares

    step_P, moments = step_where_sent(rule, ("mean_P", "squares_P"), change_P, sent_C, state, layout)
    rounds_C = state.get("rounds_C", np.zeros(layout.num_chunks, np.int32)) + sent_C
    _correct_bias(step_P, rounds_C, beta_1, beta_2, layout)
    return step_P, {**moments, "rounds_C": rounds_C}


def _correct_bias(
    step_P: NDArray[np.float32], rounds_C: NDArray[np.int32], beta_1: Fading, beta_2: Fading, layout: Layout
) -> None:
    """Multiplies the steps of each chunk by its factor a; one number while all chunks were sent equally often."""
    powers_C = rounds_C + 1.0
    factors_C = (np.sqrt(1 - beta_2**powers_C) / (1 - beta_1**powers_C)).astype(np.float32)
    same = bool((rounds_C == rounds_C[0]).all())
    step_P *= factors_C[0] if same else np.repeat(factors_C, layout.sizes_C)
