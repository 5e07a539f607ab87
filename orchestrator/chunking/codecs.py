"""Values as fewer bytes: ``float32``, ``float16``, ``bfloat16``, and ``int8`` and ``int4`` with one scale per chunk.

What is packed is really packed: two ``int4`` values share a byte. A scale is a bfloat16, because it has the range of
float32: the scale of a chunk of small changes would be zero in float16. The receiver's values are exactly
:func:`unpack` of the sender's bytes, so what packing lost is known to the sender and can stay in its residual.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.chunking.layout import Layout
from fedchunk.orchestrator.core.errors import EncodingError

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


class Codec(Protocol):
    """Turns the values of chunks into bytes and back."""

    @property
    def wire_id(self) -> int:
        """What a message calls it, one byte; below :data:`FIRST_OWN_ID` for those that are built in."""
        ...

    def value_bytes(self, num_values: int) -> int | None:
        """Bytes that the values occupy; None where that depends on them."""
        ...

    def scale_bytes(self, num_chunks: int) -> int:
        """Bytes of the scales beside them."""
        ...

    def pack(
        self, values_V: NDArray[np.float32], sizes_K: NDArray[np.int64]
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Values, one chunk behind the other, as bytes, and the bytes of their scales."""
        ...

    def unpack(
        self, packed: NDArray[np.uint8], scales: NDArray[np.uint8], sizes_K: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """The values that a receiver sees. Raises ValueError: the bytes are not what :meth:`pack` gives."""
        ...


FIRST_OWN_ID = 128
"""Ids of users' encodings begin here."""


@dataclass(frozen=True)
class BuiltInCodec:
    """One of the encodings of this module."""

    name: Encoding
    wire_id: int

    def value_bytes(self, num_values: int) -> int:
        """See :class:`Codec`."""
        return value_bytes(self.name, num_values)

    def scale_bytes(self, num_chunks: int) -> int:
        """See :class:`Codec`."""
        return scale_bytes(self.name, num_chunks)

    def pack(
        self, values_V: NDArray[np.float32], sizes_K: NDArray[np.int64]
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """See :class:`Codec`."""
        return pack(self.name, values_V, sizes_K)

    def unpack(
        self, packed: NDArray[np.uint8], scales: NDArray[np.uint8], sizes_K: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """See :class:`Codec`."""
        return unpack(self.name, packed, scales, sizes_K)


_WIRE_IDS: dict[Encoding, int] = {"float32": 0, "float16": 1, "bfloat16": 2, "int8": 3, "int4": 4}
"""Never given to another encoding: old messages must not change their meaning."""

BUILT_IN = {name: BuiltInCodec(name, wire_id) for name, wire_id in _WIRE_IDS.items()}
"""The built-in encodings by name."""

FLOAT32 = BUILT_IN["float32"]


def codec_of(wire_id: int, own: Codec | None = None) -> Codec | None:
    """The encoding that a message names: ``own`` if it is that, or a built-in; None if nobody knows it."""
    if own is not None and own.wire_id == wire_id:
        return own
    return next((codec for codec in BUILT_IN.values() if codec.wire_id == wire_id), None)


@dataclass(frozen=True)
class Packed:
    """The packed values of K chunks. Parts may be views of the vector they come from: nothing is copied yet."""

    codec: Codec
    parts: tuple[NDArray[np.uint8], ...]
    scales: NDArray[np.uint8]
    sizes_K: NDArray[np.int64]

    @property
    def joined(self) -> NDArray[np.uint8]:
        """All parts in one array."""
        return np.concatenate(self.parts) if self.parts else _NOTHING


def pack_chunks(codec: Codec, vector_P: NDArray[np.float32], mask_C: NDArray[np.bool_], layout: Layout) -> Packed:
    """Packs the chunks ``mask_C`` of a vector. Raises ValueError: a value is too large for ``float16``."""
    sizes_K = layout.sizes_C[mask_C]
    if codec is FLOAT32 or codec == FLOAT32:
        whole_P = np.ascontiguousarray(vector_P, "<f4")
        parts = tuple(whole_P[place].view(np.uint8) for place, _ in layout.places(mask_C))
        return Packed(codec, parts, _NOTHING, sizes_K)
    values_V = np.empty(layout.num_values(mask_C), "<f4")
    layout.cut(vector_P, mask_C, values_V)
    packed, scales = codec.pack(values_V, sizes_K)
    return Packed(codec, (packed,), scales, sizes_K)


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
        EncodingError: a value is too large for ``float16``.

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
            raise EncodingError(
                f"values up to {np.abs(values_V).max():g} do not fit float16: choose bfloat16 or int8, or lower the "
                "learning rates"
            )
        return halves.view(np.uint8), _NOTHING
    if encoding == "bfloat16":
        return _to_bfloat16(values_V).view(np.uint8), _NOTHING
    if not len(sizes_K):
        return _NOTHING, _NOTHING
    quantised_V, scales = _quantise(values_V, sizes_K, LEVELS[encoding])
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
        scales_K[first:last] = _to_bfloat16(np.where(steps < np.finfo(np.float32).tiny, np.float32(0), steps))
        scales = _from_bfloat16(scales_K[first:last])
        inverses = np.divide(1, scales, out=np.zeros_like(scales), where=scales > 0)
        np.multiply(block, np.repeat(inverses, sizes), out=out)
        quantised_V[here] = np.rint(out, out=out)
        first = last
    return quantised_V, scales_K


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
