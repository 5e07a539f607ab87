"""One bit a value, its sign, and one size for a chunk or for the whole message."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.chunking.codecs.bits import bytes_of_bits, pack_bits, unpack_bits
from fedchunk.orchestrator.chunking.codecs.codec import NOTHING, Bytes
from fedchunk.orchestrator.chunking.codecs.scales import SCALE_BYTES, chunk_sums, pack_scales, unpack_scales


@dataclass(frozen=True)
class Sign:
    """``sign(v) mean|v|`` of the chunk, with ``sign(0) = 1``: a chunk of zeros stays one, zeros among others do not.

    The scaled sign of Karimireddy et al. 2019 ("Error Feedback Fixes SignSGD", arXiv 1901.09847): it keeps
    ``|v|_1^2 / (d |v|_2^2)`` of the energy of d values, at least 1 / d, which is all that error feedback needs.

    Example:
        >>> packed, scales = Sign(7).pack(np.array([3, -1, 2], np.float32), np.array([3]))
        >>> packed.tolist(), Sign(7).unpack(packed, scales, np.array([3])).tolist()
        ([160], [2.0, -2.0, 2.0])
    """

    wire_id: int

    def value_bytes(self, sizes_K: NDArray[np.int64]) -> int:
        """A bit a value."""
        return bytes_of_bits(int(sizes_K.sum()))

    def scale_bytes(self, num_chunks: int) -> int:
        """A scale for each chunk."""
        return SCALE_BYTES * num_chunks

    def pack(self, values_V: NDArray[np.float32], sizes_K: NDArray[np.int64]) -> tuple[Bytes, Bytes]:
        """See :class:`Codec`."""
        if not len(sizes_K):
            return NOTHING, NOTHING
        scales = pack_scales(chunk_sums(np.abs(values_V), sizes_K) / sizes_K)
        return pack_bits(values_V >= 0), scales

    def unpack(self, packed: Bytes, scales: Bytes, sizes_K: NDArray[np.int64]) -> NDArray[np.float32]:
        """See :class:`Codec`."""
        positive_V = unpack_bits(packed, int(sizes_K.sum())).view(np.bool_)
        scales_V = np.repeat(unpack_scales(scales, len(sizes_K)), sizes_K)
        return np.where(positive_V, scales_V, -scales_V)


@dataclass(frozen=True)
class OneSize:
    """``sign(v) mean|v|`` as :class:`Sign`, but with the mean over the whole message.

    What Sparse Ternary Compression sends of the values it has chosen (Sattler et al. 2019, arXiv 1903.02891, algorithm
    1), with a scale of 16 bits instead of 32. As there, it is meant for values chosen one by one: chunks of one value.
    """

    wire_id: int

    def value_bytes(self, sizes_K: NDArray[np.int64]) -> int:
        """A bit a value."""
        return bytes_of_bits(int(sizes_K.sum()))

    def scale_bytes(self, num_chunks: int) -> int:
        """One scale, if there are chunks at all."""
        return SCALE_BYTES * min(1, num_chunks)

    def pack(self, values_V: NDArray[np.float32], sizes_K: NDArray[np.int64]) -> tuple[Bytes, Bytes]:
        """See :class:`Codec`."""
        return Sign(self.wire_id).pack(values_V, _as_one(sizes_K))

    def unpack(self, packed: Bytes, scales: Bytes, sizes_K: NDArray[np.int64]) -> NDArray[np.float32]:
        """See :class:`Codec`."""
        return Sign(self.wire_id).unpack(packed, scales, _as_one(sizes_K))


def _as_one(sizes_K: NDArray[np.int64]) -> NDArray[np.int64]:
    """The size of one chunk that holds all; none for none."""
    return sizes_K.sum(keepdims=True) if len(sizes_K) else sizes_K
