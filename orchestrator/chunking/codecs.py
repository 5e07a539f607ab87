"""Values as fewer bytes: ``float32``, ``float16``, ``bfloat16``, and ``int8`` and ``int4`` with one scale per chunk.

What is packed is really packed: two ``int4`` values share a byte. A scale is a bfloat16, because it has the range of
float32: the scale of a chunk of small changes would be zero in float16. The receiver's values are exactly
:func:`unpack` of the sender's bytes, so what packing lost is known to the sender and can stay in its residual.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Encoding = Literal["float32", "float16", "bfloat16", "int8", "int4"]

LEVELS = {"int8": 127, "int4": 7}
"""Largest magnitude of a quantised value; the range is symmetric, so that zero stays zero."""


def value_bytes(encoding: Encoding, num_values: int) -> int:
    """Bytes that ``num_values`` values occupy."""
    if encoding == "int4":
        return (num_values + 1) // 2
    return num_values * {"float32": 4, "float16": 2, "bfloat16": 2, "int8": 1}[encoding]


def scale_bytes(encoding: Encoding, num_chunks: int) -> int:
    """Bytes that the scales of ``num_chunks`` chunks occupy."""
    return 2 * num_chunks if encoding in LEVELS else 0


def pack(
    encoding: Encoding, values_V: NDArray[np.float32], sizes_K: NDArray[np.int64]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Packs the values of K chunks, one chunk behind the other.

    Args:
        encoding: how.
        values_V: finite values.
        sizes_K: values in each chunk; they add up to V.

    Returns:
        The packed values and the packed scales. ``int8`` and ``int4`` round ``v / scale`` to the nearest level with
        ``scale = max|v| / levels`` of the chunk (symmetric uniform quantisation).

    Raises:
        ValueError: a value is too large for ``float16``.

    Example:
        >>> packed, scales = pack("int8", np.array([1.0, -2.0, 0.5], np.float32), np.array([3]))
        >>> packed.view(np.int8).tolist(), len(scales)
        ([64, -127, 32], 2)
    """
    if encoding == "float32":
        return values_V.astype("<f4", copy=False).view(np.uint8), _NOTHING
    if encoding == "float16":
        with np.errstate(over="ignore"):
            halves = values_V.astype("<f2")
        if not np.isfinite(halves).all():
            raise ValueError(f"values up to {np.abs(values_V).max():g} do not fit float16: choose bfloat16 or int8")
        return halves.view(np.uint8), _NOTHING
    if encoding == "bfloat16":
        return _to_bfloat16(values_V).view(np.uint8), _NOTHING
    levels = LEVELS[encoding]
    starts_K = np.cumsum(sizes_K) - sizes_K
    if not len(sizes_K):
        return _NOTHING, _NOTHING
    peaks_K = np.maximum.reduceat(np.abs(values_V), starts_K)
    steps_K = (peaks_K / np.float32(levels)).astype(np.float32)
    scales = _to_bfloat16(np.where(steps_K < np.finfo(np.float32).tiny, np.float32(0), steps_K))
    quantised_V = _quantise(values_V, _from_bfloat16(scales), sizes_K, levels)
    return (_two_a_byte(quantised_V) if encoding == "int4" else quantised_V.view(np.uint8)), scales.view(np.uint8)


def unpack(
    encoding: Encoding, packed: NDArray[np.uint8], scales: NDArray[np.uint8], sizes_K: NDArray[np.int64]
) -> NDArray[np.float32]:
    """The values that a receiver sees, (V,), float32. ``float32`` is a view of ``packed``."""
    if encoding == "float32":
        return packed.view("<f4")
    if encoding == "float16":
        return packed.view("<f2").astype(np.float32)
    if encoding == "bfloat16":
        return _from_bfloat16(packed.view("<u2"))
    levels_V = _one_a_byte(packed, int(sizes_K.sum())) if encoding == "int4" else packed.view(np.int8)
    values: NDArray[np.float32] = levels_V.astype(np.float32) * np.repeat(_from_bfloat16(scales.view("<u2")), sizes_K)
    return values


_NOTHING = np.empty(0, np.uint8)

_BLOCK = 1 << 16
"""Values quantised at once: their temporaries stay in a core's second-level cache."""


def _quantise(
    values_V: NDArray[np.float32], scales_K: NDArray[np.float32], sizes_K: NDArray[np.int64], levels: int
) -> NDArray[np.int8]:
    inverses_K = np.divide(1, scales_K, out=np.zeros_like(scales_K), where=scales_K > 0)
    out_V = np.empty(len(values_V), np.int8)
    stops_K = np.cumsum(sizes_K)
    first = 0
    while first < len(sizes_K):
        begin = int(stops_K[first] - sizes_K[first])
        last = max(first + 1, int(np.searchsorted(stops_K, begin + _BLOCK, side="right")))
        end = int(stops_K[last - 1])
        block: NDArray[np.float32] = values_V[begin:end] * np.repeat(inverses_K[first:last], sizes_K[first:last])
        np.rint(block, out=block)
        out_V[begin:end] = np.clip(block, -levels, levels, out=block).astype(np.int8)
        first = last
    return out_V


def _to_bfloat16(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """The upper half of each float32, rounded to nearest, ties to even."""
    bits = values.astype("<f4", copy=False).view("<u4")
    half = np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    rounded: NDArray[np.uint16] = ((bits + half) >> np.uint32(16)).astype("<u2")
    return rounded


def _from_bfloat16(halves: NDArray[np.uint16]) -> NDArray[np.float32]:
    return (halves.astype("<u4") << np.uint32(16)).view("<f4")


def _two_a_byte(quantised_V: NDArray[np.int8]) -> NDArray[np.uint8]:
    """Values -7..7 as 1..15, the first of each pair in the upper half; an odd last value has a 0 beside it."""
    raised = (quantised_V + np.int8(8)).view(np.uint8)
    pairs = np.concatenate([raised, np.zeros(len(raised) % 2, np.uint8)]).reshape(-1, 2)
    packed: NDArray[np.uint8] = (pairs[:, 0] << np.uint8(4)) | pairs[:, 1]
    return packed


def _one_a_byte(packed: NDArray[np.uint8], num_values: int) -> NDArray[np.int8]:
    pairs = np.stack([packed >> np.uint8(4), packed & np.uint8(15)], axis=1).ravel()[:num_values]
    return pairs.view(np.int8) - np.int8(8)
