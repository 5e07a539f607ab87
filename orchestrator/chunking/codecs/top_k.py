"""The largest few values of each chunk, in two bits each, and where they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.chunking.codecs.bits import bytes_of_bits, pack_bits, unpack_bits
from fedchunk.orchestrator.chunking.codecs.codec import NOTHING, Bytes
from fedchunk.orchestrator.chunking.codecs.groups import by_size, counts_by_size
from fedchunk.orchestrator.chunking.codecs.positions import decode_positions, encode_positions, position_bits
from fedchunk.orchestrator.chunking.codecs.scales import SCALE_BYTES, check_finite, pack_scales, unpack_scales


@dataclass(frozen=True)
class TopK:
    """The ``share`` of a chunk's values that are largest in size, each as ``+-a`` or ``+-2 a``; the others are 0.

    SparseLoCo (Sarfi et al. 2025, arXiv 2508.15706) sends 64 of the 4,096 values of a chunk (share 0.0156), two bits
    each, and 12 bits for each position. Here positions are coded jointly (:mod:`positions`): 8 bits each in that case.
    The paper leaves the two bits open; here they are a sign and whether the value is above the mean size of those kept,
    and ``a`` is the least-squares size for that. So what the receiver sees is the projection of the chunk on these
    levels, and what is lost is at right angles to it: its energy is that of the chunk less that of what is seen.

    ``max(1, share * size)`` values are kept, rounded to the nearest, halves to even; of equal sizes the first.
    """

    wire_id: int
    share: float = 0.125
    """Above 0, 1 at most."""

    def value_bytes(self, sizes_K: NDArray[np.int64]) -> int:
        """Positions, and two bits for each value that is kept, all chunks together in whole bytes."""
        return bytes_of_bits(sum(number * self._chunk_bits(size) for size, number in counts_by_size(sizes_K)))

    def scale_bytes(self, num_chunks: int) -> int:
        """A scale for each chunk."""
        return SCALE_BYTES * num_chunks

    def pack(self, values_V: NDArray[np.float32], sizes_K: NDArray[np.int64]) -> tuple[Bytes, Bytes]:
        """See :class:`Codec`."""
        if not len(sizes_K):
            return NOTHING, NOTHING
        check_finite(values_V)
        scales_K = np.empty(len(sizes_K))
        bits = []
        for group in by_size(sizes_K):
            values_NS = values_V[group.places_NS]
            order_NS = np.argsort(-np.abs(values_NS), axis=1, kind="stable")
            places_NT = np.sort(order_NS[:, : self._count(group.size)], axis=1)
            kept_NT = np.take_along_axis(values_NS, places_NT, axis=1)
            sizes_NT = np.abs(kept_NT).astype(np.float64)
            is_large_NT = sizes_NT > sizes_NT.mean(axis=1, keepdims=True)
            levels_NT = 1.0 + is_large_NT
            scales_K[group.chunks_N] = (sizes_NT * levels_NT).sum(axis=1) / np.square(levels_NT).sum(axis=1)
            positions = encode_positions(places_NT, group.size)
            bits.append(np.hstack([positions, (kept_NT < 0).view(np.uint8), is_large_NT.view(np.uint8)]).ravel())
        return pack_bits(np.concatenate(bits)), pack_scales(scales_K)

    def unpack(self, packed: Bytes, scales: Bytes, sizes_K: NDArray[np.int64]) -> NDArray[np.float32]:
        """See :class:`Codec`."""
        scales_K = unpack_scales(scales, len(sizes_K))
        values_V = np.zeros(int(sizes_K.sum()), np.float32)
        total = sum(number * self._chunk_bits(size) for size, number in counts_by_size(sizes_K))
        bits, begin = unpack_bits(packed, total), 0
        for group in by_size(sizes_K):
            count, width = self._count(group.size), self._chunk_bits(group.size)
            bits_NB = bits[begin : begin + len(group.chunks_N) * width].reshape(-1, width)
            begin += bits_NB.size
            positions, is_negative_NT, is_large_NT = np.split(bits_NB, [width - 2 * count, width - count], axis=1)
            places_NT = decode_positions(positions, group.size, count)
            levels_NT = (1 - 2 * is_negative_NT.view(np.int8)) * (1 + is_large_NT.view(np.int8))
            kept_NT = levels_NT.astype(np.float32) * scales_K[group.chunks_N, None]
            values_V[np.take_along_axis(group.places_NS, places_NT, axis=1)] = kept_NT
        return values_V

    def _count(self, size: int) -> int:
        return min(size, max(1, round(self.share * size)))

    def _chunk_bits(self, size: int) -> int:
        count = self._count(size)
        return position_bits(size, count) + 2 * count
