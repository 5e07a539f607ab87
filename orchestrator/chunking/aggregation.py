"""Weighted means, chunk by chunk, over those who sent the chunk. Sums travel; the mean is taken once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from orchestrator.chunking.layout import Layout


class ChunkSum:
    """Sums of chunks and of the weights they came with, in float64.

    Add in client order, whatever order payloads arrive in: float sums depend on it. float64 keeps the rounding of
    the sum far below that of the float32 result.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._sums_P = np.zeros(layout.num_parameters)
        self._weights_C = np.zeros(layout.num_chunks)

    def add(self, mask_C: NDArray[np.bool_], values: NDArray[np.float32], weight: float) -> None:
        """Adds one client's chunks: ``values`` are those of ``mask_C``, one behind the other."""
        position = 0
        for start, stop in self._layout.runs(mask_C):
            part = values[position : position + stop - start]
            self._sums_P[start:stop] += part if weight == 1.0 else part * np.float64(weight)
            position += stop - start
        self._weights_C[mask_C] += weight

    @property
    def weights_C(self) -> NDArray[np.float64]:
        """Summed weight of each chunk's contributors; 0 where nobody sent it."""
        return self._weights_C.copy()

    @property
    def sent_C(self) -> NDArray[np.bool_]:
        """Which chunks somebody sent."""
        sent_C: NDArray[np.bool_] = self._weights_C > 0
        return sent_C

    def over(self, weight: float) -> NDArray[np.float32]:
        """The sums divided by one weight, (P,); zero where nobody sent anything."""
        return (self._sums_P / weight).astype(np.float32)

    def write_means(self, out_P: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Writes the mean of each chunk that somebody sent into ``out_P``; other chunks stay as they are.

        Returns:
            Which chunks were written, (C,).
        """
        sent_C, weights_C = self.sent_C, self._weights_C
        for chunk in np.flatnonzero(sent_C):
            start, stop = self._layout.bounds[chunk], self._layout.bounds[chunk + 1]
            np.divide(self._sums_P[start:stop], weights_C[chunk], out=out_P[start:stop], casting="same_kind")
        return sent_C


class BufferMean:
    """Weighted mean of the model's other state, over all that sent it; counters are rounded to whole numbers."""

    def __init__(self, num_float: int, num_integer: int) -> None:
        self._floats_B = np.zeros(num_float)
        self._counters_I = np.zeros(num_integer)
        self._weight = 0.0

    def add(self, buffers_B: NDArray[np.float32], counters_I: NDArray[np.int64], weight: float) -> None:
        """Adds one client's buffers, in client order."""
        self._floats_B += buffers_B * np.float64(weight)
        self._counters_I += counters_I * np.float64(weight)
        self._weight += weight

    def mean(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The means; at least one client must have been added."""
        floats_B = (self._floats_B / self._weight).astype(np.float32)
        return floats_B, np.rint(self._counters_I / self._weight).astype(np.int64)
