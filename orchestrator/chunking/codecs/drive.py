"""One bit a value after a random rotation, which makes the values of any chunk alike."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.chunking.codecs.bits import bytes_of_bits, pack_bits, unpack_bits
from fedchunk.orchestrator.chunking.codecs.codec import NOTHING, Bytes
from fedchunk.orchestrator.chunking.codecs.groups import by_size, counts_by_size
from fedchunk.orchestrator.chunking.codecs.scales import SCALE_BYTES, pack_scales, unpack_scales

SEED = 0
"""Of the signs that both ends know."""


@dataclass(frozen=True)
class Drive:
    """``R^-1(S sign(R v))`` of the chunk v: R changes signs at random and is a Hadamard transform after that.

    DRIVE (Vargaftik et al. 2021, arXiv 2105.08339), with the biased scale of least squares ``S = |R v|_1 /
    d``, for error feedback keeps what is lost; the unbiased ``|v|_2^2 / |R v|_1`` loses more. EDEN (Vargaftik et al.
    2022, arXiv 2108.08842) is the same with more bits. The lost energy is ``1 - |R v|_1^2 / (d |v|_2^2)`` of the
    chunk's at most, close to ``1 - 2 / pi`` for long chunks whatever their values are, where the plain sign of few
    large values keeps little.

    R needs d values, a power of two: a chunk is filled up with zeros, whose bits travel like others. So chunks of 64
    values have 1 bit a value, chunks of 65 two; let ``chunking_parts`` be the parameters over a power of two, rounded
    up. R depends on d alone and is the same in every message, where the paper draws anew: its bounds hold for chunks
    that do not know R, and both ends know R without a word.
    """

    wire_id: int

    def value_bytes(self, sizes_K: NDArray[np.int64]) -> int:
        """A bit for each value of the filled chunks, in whole bytes."""
        return bytes_of_bits(_num_bits(sizes_K))

    def scale_bytes(self, num_chunks: int) -> int:
        """A scale for each chunk."""
        return SCALE_BYTES * num_chunks

    def pack(self, values_V: NDArray[np.float32], sizes_K: NDArray[np.int64]) -> tuple[Bytes, Bytes]:
        """See :class:`Codec`."""
        if not len(sizes_K):
            return NOTHING, NOTHING
        scales_K = np.empty(len(sizes_K))
        bits = []
        for group in by_size(sizes_K):
            width = _filled(group.size)
            turned_ND = np.zeros((len(group.chunks_N), width), np.float32)
            turned_ND[:, : group.size] = values_V[group.places_NS] * random_signs(width)[: group.size]
            hadamard(turned_ND)
            scales_K[group.chunks_N] = np.abs(turned_ND).mean(axis=1, dtype=np.float64)
            bits.append((turned_ND >= 0).ravel())
        return pack_bits(np.concatenate(bits)), pack_scales(scales_K)

    def unpack(self, packed: Bytes, scales: Bytes, sizes_K: NDArray[np.int64]) -> NDArray[np.float32]:
        """See :class:`Codec`."""
        scales_K = unpack_scales(scales, len(sizes_K))
        values_V = np.empty(int(sizes_K.sum()), np.float32)
        bits, begin = unpack_bits(packed, _num_bits(sizes_K)), 0
        for group in by_size(sizes_K):
            width = _filled(group.size)
            positive_ND = bits[begin : begin + len(group.chunks_N) * width].reshape(-1, width)
            begin += positive_ND.size
            turned_ND = 2 * positive_ND.astype(np.float32) - 1
            hadamard(turned_ND)
            seen_NS = turned_ND[:, : group.size] * random_signs(width)[: group.size]
            values_V[group.places_NS] = seen_NS * scales_K[group.chunks_N, None]
        return values_V


def hadamard(rows_ND: NDArray[np.float32]) -> None:
    """The orthonormal Walsh-Hadamard transform of each row, in place; it is its own inverse. D is a power of two.

    Sums are made in one order whatever the machine, so that both ends see the same bits.
    """
    num_rows, width = rows_ND.shape
    half = 1
    with np.errstate(invalid="ignore", over="ignore"):  # the scale says so
        while half < width:
            pairs = rows_ND.reshape(num_rows, -1, 2, half)
            difference = pairs[:, :, 0] - pairs[:, :, 1]
            pairs[:, :, 0] += pairs[:, :, 1]
            pairs[:, :, 1] = difference
            half *= 2
        rows_ND *= np.float32(width**-0.5)


@lru_cache(maxsize=16)
def random_signs(width: int) -> NDArray[np.float32]:
    """The signs of R for chunks of this width, (D,): a bit generator's own stream, which never changes."""
    raw = np.random.Philox(key=SEED, counter=width).random_raw(-(-width // 64))
    signs = 2 * np.unpackbits(raw.astype("<u8").view(np.uint8), count=width).astype(np.float32) - 1
    signs.setflags(write=False)
    return signs


def _filled(size: int) -> int:
    """The next power of two; 0 for nothing."""
    return 1 << (size - 1).bit_length() if size else 0


def _num_bits(sizes_K: NDArray[np.int64]) -> int:
    return sum(number * _filled(size) for size, number in counts_by_size(sizes_K))
