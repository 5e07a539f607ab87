"""Symmetric uniform quantisation: a value is the nearest of few levels, in steps of the chunk's own scale."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.chunking.codecs.bits import check_length
from fedchunk.orchestrator.chunking.codecs.codec import NOTHING, Bytes
from fedchunk.orchestrator.chunking.codecs.scales import SCALE_BYTES, from_bfloat16, to_bfloat16, unpack_scales


@dataclass(frozen=True)
class Levels:
    """Rounds ``v / scale`` to the nearest level, ``scale = max|v| / levels`` of the chunk, and packs it into ``bits``.

    The range is symmetric, so that zero stays zero: a level l of -levels..levels is the number l + 2^(bits - 1), which
    8 bits have as two's complement instead. Values that share a byte begin in its upper end; what is left of the last
    byte is zero.

    Example:
        >>> packed, scales = Levels(3, 127, 8).pack(np.array([1.0, -2.0, 0.5], np.float32), np.array([3]))
        >>> packed.view(np.int8).tolist(), len(scales)
        ([64, -127, 32], 2)
    """

    wire_id: int
    levels: int
    """Largest magnitude of a quantised value."""
    bits: int
    """8, 4 or 2."""

    def value_bytes(self, sizes_K: NDArray[np.int64]) -> int:
        """``bits`` a value, in whole bytes."""
        return -(-int(sizes_K.sum()) * self.bits // 8)

    def scale_bytes(self, num_chunks: int) -> int:
        """A scale for each chunk."""
        return SCALE_BYTES * num_chunks

    def pack(self, values_V: NDArray[np.float32], sizes_K: NDArray[np.int64]) -> tuple[Bytes, Bytes]:
        """See :class:`Codec`."""
        if not len(sizes_K):
            return NOTHING, NOTHING
        quantised_V, scales = _quantise(values_V, sizes_K, self.levels)
        packed = quantised_V.view(np.uint8) if self.bits == 8 else _several_a_byte(quantised_V, self.bits)
        return packed, scales.view(np.uint8)

    def unpack(self, packed: Bytes, scales: Bytes, sizes_K: NDArray[np.int64]) -> NDArray[np.float32]:
        """See :class:`Codec`."""
        num_values = int(sizes_K.sum())
        check_length(packed, self.value_bytes(sizes_K))
        levels_V = packed.view(np.int8) if self.bits == 8 else _one_a_byte(packed, num_values, self.bits)
        if levels_V.min(initial=0) < -self.levels:
            raise ValueError("a level below the lowest")
        values: NDArray[np.float32] = levels_V.astype(np.float32)
        values *= np.repeat(unpack_scales(scales, len(sizes_K)), sizes_K)
        return values

    def words(self, packed: Bytes, num_values: int) -> Bytes:
        """What :meth:`pack` made of each value, as a number: chunks may be put in another order with it."""
        return packed if self.bits == 8 else _apart(packed, num_values, self.bits)

    def joined(self, words_V: Bytes) -> Bytes:
        """Undoes :meth:`words`."""
        return words_V if self.bits == 8 else _together(words_V, self.bits)


_TINY = np.finfo(np.float32).tiny
_BLOCK = 1 << 16
"""Values quantised at once: their temporaries stay in a core's second-level cache."""


def _quantise(
    values_V: NDArray[np.float32], sizes_K: NDArray[np.int64], levels: int
) -> tuple[NDArray[np.int8], NDArray[np.uint16]]:
    """Levels of all values and bfloat16 scales of all chunks, block by block.

    A scale's rounding (a share of 2^-9) cannot lift the largest value past half a level beyond the last, so nothing
    has to be clipped.
    """
    quantised_V = np.empty(len(values_V), np.int8)
    scales_K = np.empty(len(sizes_K), "<u2")
    stops_K = np.cumsum(sizes_K)
    work = np.empty(max(_BLOCK, int(sizes_K.max())), np.float32)
    first = 0
    while first < len(sizes_K):
        begin = int(stops_K[first] - sizes_K[first])
        last = max(first + 1, int(np.searchsorted(stops_K, begin + _BLOCK, side="right")))
        here, sizes = slice(begin, int(stops_K[last - 1])), sizes_K[first:last]
        block, out = values_V[here], work[: here.stop - begin]
        np.abs(block, out=out)
        steps = np.maximum.reduceat(out, np.cumsum(sizes) - sizes) / np.float32(levels)
        scales_K[first:last] = to_bfloat16(np.where(steps < _TINY, np.float32(0), steps))
        scales = from_bfloat16(scales_K[first:last])
        inverses = np.divide(1, scales, out=np.zeros_like(scales), where=scales > 0)
        np.multiply(block, np.repeat(inverses, sizes), out=out)
        quantised_V[here] = np.rint(out, out=out)
        first = last
    return quantised_V, scales_K


def _several_a_byte(quantised_V: NDArray[np.int8], bits: int) -> Bytes:
    """Levels, raised to be positive, the first of those that share a byte in its upper end."""
    return _together((quantised_V + np.int8(1 << (bits - 1))).view(np.uint8), bits)


def _one_a_byte(packed: Bytes, num_values: int, bits: int) -> NDArray[np.int8]:
    return _apart(packed, num_values, bits).view(np.int8) - np.int8(1 << (bits - 1))


def _together(raised_V: Bytes, bits: int) -> Bytes:
    per_byte = 8 // bits
    filled = np.zeros(-(-len(raised_V) // per_byte) * per_byte, np.uint8)
    filled[: len(raised_V)] = raised_V
    shared = filled.reshape(-1, per_byte)
    packed = shared[:, 0] << np.uint8(8 - bits)
    for place in range(1, per_byte):
        packed |= shared[:, place] << np.uint8(8 - bits * (place + 1))
    return packed


def _apart(packed: Bytes, num_values: int, bits: int) -> Bytes:
    return _words_of_bytes(bits)[packed].view(np.uint8)[:num_values]


@lru_cache(maxsize=4)
def _words_of_bytes(bits: int) -> NDArray[np.unsignedinteger[Any]]:
    """What each byte holds, (256,): a number whose bytes, as they lie in memory, are the words in order."""
    mask, every_byte = np.uint8((1 << bits) - 1), np.arange(256, dtype=np.uint8)
    words = [(every_byte >> np.uint8(shift)) & mask for shift in range(8 - bits, -1, -bits)]
    return np.stack(words, axis=1).view(f"u{len(words)}")[:, 0]
