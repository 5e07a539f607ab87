"""Levels by the toss of a coin, so that the mean over many messages is right."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xxhash
from numpy.typing import NDArray

from fedchunk.orchestrator.chunking.codecs.bits import bytes_of_bits, from_bits, pack_bits, to_bits, unpack_bits
from fedchunk.orchestrator.chunking.codecs.codec import NOTHING, Bytes
from fedchunk.orchestrator.chunking.codecs.scales import (
    SCALE_BYTES,
    chunk_sums,
    from_bfloat16,
    pack_scales,
    unpack_scales,
)


@dataclass(frozen=True)
class Qsgd:
    """``n sign(v) xi / s`` of the chunk: xi is one of the two levels beside ``s |v_i| / n``, drawn so that its mean is
    that; n is the chunk's largest size, or its 2-norm.

    QSGD (Alistarh et al. 2017, arXiv 1610.02132; a chunk is its bucket), as FedPAQ uses it (Reisizadeh et al. 2019,
    arXiv 1909.13014). With the 2-norm, which is the paper's, the squared error of d values is ``min(d / s^2, sqrt(d) /
    s) |v|_2^2`` at most in the mean (lemma 3.1). Where that is more than the chunk's own energy error feedback may
    diverge, so it takes s above sqrt(d). With the largest size it is ``d n^2 / (4 s^2)`` at most. n is rounded to a
    bfloat16 first, and the levels are those of what the receiver sees. The paper codes levels by Elias' code; here
    each has ``ceil(log2(2 s + 1))`` bits, and ``chunk_compression: zstd`` finds what is left.

    The draws are a counter-based generator's (Philox), whose key is the XXH3 digest of the values themselves: the same
    values get the same bits wherever and whenever they are packed, other values have other draws, and nothing but the
    values need be known. To unpack needs none of it. For one vector the answer is fixed, so its error is not averaged
    out by sending that vector again.
    """

    wire_id: int
    levels: int = 7
    """s, 1 to 127."""
    by_largest: bool = True
    """Whether n is the largest size; else it is the 2-norm."""

    @property
    def _width(self) -> int:
        """Bits of a value."""
        return (2 * self.levels).bit_length()

    def value_bytes(self, sizes_K: NDArray[np.int64]) -> int:
        """The same number of bits for each value."""
        return bytes_of_bits(self._width * int(sizes_K.sum()))

    def scale_bytes(self, num_chunks: int) -> int:
        """A scale, n, for each chunk."""
        return SCALE_BYTES * num_chunks

    def pack(self, values_V: NDArray[np.float32], sizes_K: NDArray[np.int64]) -> tuple[Bytes, Bytes]:
        """See :class:`Codec`."""
        if not len(sizes_K):
            return NOTHING, NOTHING
        scales = pack_scales(self._norms(values_V, sizes_K))
        norms_V = np.repeat(from_bfloat16(scales.view("<u2")).astype(np.float64), sizes_K)
        exact_V = np.divide(np.abs(values_V), norms_V, out=np.zeros(len(values_V)), where=norms_V > 0) * self.levels
        # A norm that was rounded down may leave the largest value a little above the last level.
        levels_V = np.minimum(np.floor(exact_V + _draws(values_V)), self.levels).astype(np.int64)
        raised_V = (np.where(values_V < 0, -levels_V, levels_V) + self.levels).astype(np.uint64)
        return pack_bits(to_bits(raised_V, self._width).ravel()), scales

    def unpack(self, packed: Bytes, scales: Bytes, sizes_K: NDArray[np.int64]) -> NDArray[np.float32]:
        """See :class:`Codec`."""
        num_values = int(sizes_K.sum())
        raised_V = from_bits(unpack_bits(packed, self._width * num_values).reshape(num_values, self._width))
        if raised_V.max(initial=0) > 2 * self.levels:
            raise ValueError("a level above the highest")
        shares_V = (raised_V.astype(np.float32) - np.float32(self.levels)) / np.float32(self.levels)
        return shares_V * np.repeat(unpack_scales(scales, len(sizes_K)), sizes_K)

    def _norms(self, values_V: NDArray[np.float32], sizes_K: NDArray[np.int64]) -> NDArray[np.float64]:
        if self.by_largest:
            return np.maximum.reduceat(np.abs(values_V), np.cumsum(sizes_K) - sizes_K).astype(np.float64)
        return np.sqrt(chunk_sums(np.square(values_V, dtype=np.float64), sizes_K))


def _draws(values_V: NDArray[np.float32]) -> NDArray[np.float64]:
    """Uniform in [0, 1), one for each value, from the values' own bytes; a bit generator's stream never changes."""
    digest = xxhash.xxh3_128_intdigest(np.ascontiguousarray(values_V, "<f4").data.cast("B"))
    raw = np.random.Philox(key=digest).random_raw(len(values_V))
    draws: NDArray[np.float64] = (raw >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return draws
