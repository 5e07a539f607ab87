"""Weights, gradients and buffers of the clients of a group, one row each, in memory that is used again and again."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedchunk.orchestrator.contract.messages import ModelSpec, ModelState
from fedchunk.orchestrator.learning.transfer import fill, host_copy, spread, to_device


class Rows:
    """Memory for as many clients as the largest group had.

    Attributes:
        weights_GP: trainable values, (G, P) float32 on the device.
        gradient_GP: their mean gradients, likewise; None where nobody asks for them.
        buffers_GB: float buffers, (G, B) float32.
        counters_GI: integer buffers, (G, I) int64.
    """

    def __init__(self, spec: ModelSpec, device: torch.device, num_clients: int, *, with_gradient: bool) -> None:
        """Room for ``num_clients``; what it holds is undefined."""
        self.weights_GP = torch.empty(num_clients, spec.num_parameters, device=device)
        self.gradient_GP = torch.empty_like(self.weights_GP) if with_gradient else None
        self.buffers_GB = torch.empty(num_clients, spec.num_float_buffers, device=device)
        self.counters_GI = torch.empty(num_clients, spec.num_integer_buffers, dtype=torch.int64, device=device)

    def __len__(self) -> int:
        return self.weights_GP.shape[0]

    def start(self, states: Sequence[ModelState]) -> None:
        """Puts the first rows to their starts and the gradients to 0. The same object again is copied on the device."""
        _fill_rows(self.weights_GP, [state.weights_P for state in states])
        _fill_rows(self.buffers_GB, [state.buffers_B for state in states])
        _fill_rows(self.counters_GI, [state.counters_I for state in states])
        if self.gradient_GP is not None:
            self.gradient_GP[: len(states)].zero_()


def _fill_rows(rows: Tensor, arrays: Sequence[NDArray[Any]]) -> None:
    if not rows.shape[1]:
        return
    row = 0
    for _, same in groupby(arrays, key=id):
        array, *others = same
        fill(rows[row], array)
        spread(rows[row + 1 : row + 1 + len(others)], rows[row])  # to each, from where it is in the cache
        row += 1 + len(others)


def in_order(rows: Tensor, order: Sequence[int]) -> Tensor:
    """The rows that ``order`` names; a view where they are the first ones in their order."""
    if list(order) == list(range(len(order))):
        return rows[: len(order)]
    return rows.index_select(0, to_device(np.array(order, np.int64), rows.device))


def as_array(rows: Tensor) -> NDArray[Any]:
    """Rows on the host; on the CPU without a copy."""
    return rows.numpy() if rows.device.type == "cpu" else host_copy(rows)


def finite_rows(rows: Tensor) -> NDArray[np.bool_]:
    """Which rows hold no infinite or nan value. Sums tell at once, but for those that overflow."""
    finite_G = torch.isfinite(rows.sum(1)).cpu().numpy()
    for row in np.flatnonzero(~finite_G):
        finite_G[row] = bool(torch.isfinite(rows[row]).all())
    return np.asarray(finite_G)
