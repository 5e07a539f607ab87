"""Three values: zero, and plus or minus one size for a chunk."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.chunking.codecs.bits import bytes_of_digits, pack_digits, unpack_digits
from fedchunk.orchestrator.chunking.codecs.codec import NOTHING, Bytes
from fedchunk.orchestrator.chunking.codecs.scales import (
    SCALE_BYTES,
    check_finite,
    chunk_sums,
    pack_scales,
    unpack_scales,
)

THRESHOLD = 0.7
"""Share of a chunk's mean size above which a value counts: near the best for uniform and normal values (the paper)."""


@dataclass(frozen=True)
class Ternary:
    """``a sign(v)`` where ``|v| > 0.7 mean|v|`` of the chunk, else 0; ``a`` is the mean of the ``|v|`` above.

    Ternary Weight Networks (Li et al. 2016, arXiv 1605.04711). For the values that are chosen, ``a``
    is the least-squares size. Five values share a byte: 1.6 bits each.

    Example:
        >>> packed, scales = Ternary(5).pack(np.array([4, -2, 0.1, 0], np.float32), np.array([4]))
        >>> Ternary(5).unpack(packed, scales, np.array([4])).tolist()
        [3.0, -3.0, 0.0, 0.0]
    """

    wire_id: int

    def value_bytes(self, sizes_K: NDArray[np.int64]) -> int:
        """A byte for five values."""
        return bytes_of_digits(int(sizes_K.sum()))

    def scale_bytes(self, num_chunks: int) -> int:
        """A scale for each chunk."""
        return SCALE_BYTES * num_chunks

    def pack(self, values_V: NDArray[np.float32], sizes_K: NDArray[np.int64]) -> tuple[Bytes, Bytes]:
        """See :class:`Codec`."""
        if not len(sizes_K):
            return NOTHING, NOTHING
        check_finite(values_V)
        sizes_V = np.abs(values_V)
        thresholds_K = THRESHOLD * chunk_sums(sizes_V, sizes_K) / sizes_K
        above_V = sizes_V > np.repeat(thresholds_K, sizes_K)
        counts_K = np.maximum(1, chunk_sums(above_V, sizes_K))
        scales = pack_scales(chunk_sums(np.where(above_V, sizes_V, 0), sizes_K) / counts_K)
        digits_V = np.where(above_V, np.where(values_V > 0, 2, 0), 1).astype(np.uint8)
        return pack_digits(digits_V), scales

    def unpack(self, packed: Bytes, scales: Bytes, sizes_K: NDArray[np.int64]) -> NDArray[np.float32]:
        """See :class:`Codec`."""
        signs_V = unpack_digits(packed, int(sizes_K.sum())).view(np.int8) - np.int8(1)
        values: NDArray[np.float32] = signs_V.astype(np.float32)
        values *= np.repeat(unpack_scales(scales, len(sizes_K)), sizes_K)
        return values
