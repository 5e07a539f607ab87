"""The scale of a chunk, 2 bytes: a bfloat16, because the scale of small changes would be zero in float16."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.chunking.codecs.codec import Bytes
from fedchunk.orchestrator.core.errors import EncodingError

SCALE_BYTES = 2


def to_bfloat16(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """The upper half of each float32, rounded to nearest, ties to even."""
    bits = values.astype("<f4", copy=False).view("<u4")
    half = np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    rounded: NDArray[np.uint16] = ((bits + half) >> np.uint32(16)).astype("<u2")
    return rounded


def from_bfloat16(halves: NDArray[np.uint16]) -> NDArray[np.float32]:
    """The float32 values of these halves, exactly."""
    return (halves.astype("<u4") << np.uint32(16)).view("<f4")


def pack_scales(scales_K: NDArray[np.float64]) -> Bytes:
    """Scales as bytes, each off by a share of 2^-9 at most (subnormal ones by 2^-134).

    Raises EncodingError: a scale is not finite, because values were not or because it is too large.
    """
    with np.errstate(over="ignore"):
        halves_K = to_bfloat16(scales_K.astype(np.float32))
    check_finite(from_bfloat16(halves_K))
    return halves_K.view(np.uint8)


def check_finite(values: NDArray[np.float32]) -> None:
    """Raises EncodingError: values, or scales of them, that are not finite. Zeros would hide them."""
    if not np.isfinite(values).all():
        raise EncodingError("values that are not finite, or too large for a scale: lower the learning rates")


def unpack_scales(scales: Bytes, num_scales: int) -> NDArray[np.float32]:
    """The scales again, (K,). Raises ValueError: not ``num_scales`` numbers."""
    if len(scales) != SCALE_BYTES * num_scales:
        raise ValueError(f"{len(scales)} bytes of scales, expected {SCALE_BYTES * num_scales}")
    return from_bfloat16(scales.view("<u2"))


def chunk_sums(values_V: NDArray[np.generic], sizes_K: NDArray[np.int64]) -> NDArray[np.float64]:
    """Sum of each chunk's values in float64, (K,); every chunk has one value at least."""
    return np.add.reduceat(values_V, np.cumsum(sizes_K) - sizes_K, dtype=np.float64)
