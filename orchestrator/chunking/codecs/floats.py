"""Values one by one: every bit of them, or a half-precision number each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.chunking.codecs.codec import NOTHING, Bytes
from fedchunk.orchestrator.chunking.codecs.scales import from_bfloat16, to_bfloat16
from fedchunk.orchestrator.core.errors import EncodingError


@dataclass(frozen=True)
class Float32:
    """Every bit. What is unpacked is a view of the bytes."""

    wire_id: int

    def value_bytes(self, sizes_K: NDArray[np.int64]) -> int:
        """4 a value."""
        return 4 * int(sizes_K.sum())

    def scale_bytes(self, num_chunks: int) -> int:
        """None."""
        return 0

    def pack(self, values_V: NDArray[np.float32], sizes_K: NDArray[np.int64]) -> tuple[Bytes, Bytes]:
        """See :class:`Codec`."""
        return values_V.astype("<f4", copy=False).view(np.uint8), NOTHING

    def unpack(self, packed: Bytes, scales: Bytes, sizes_K: NDArray[np.int64]) -> NDArray[np.float32]:
        """See :class:`Codec`."""
        return packed.view("<f4")

    def words(self, packed: Bytes, num_values: int) -> NDArray[np.uint32]:
        """As of :class:`Levels`."""
        return packed.view("<u4")

    def joined(self, words_V: NDArray[np.uint32]) -> Bytes:
        """As of :class:`Levels`."""
        return words_V.view(np.uint8)


@dataclass(frozen=True)
class Float16:
    """IEEE 754's half precision: values up to 65,504."""

    wire_id: int

    def value_bytes(self, sizes_K: NDArray[np.int64]) -> int:
        """2 a value."""
        return 2 * int(sizes_K.sum())

    def scale_bytes(self, num_chunks: int) -> int:
        """None."""
        return 0

    def pack(self, values_V: NDArray[np.float32], sizes_K: NDArray[np.int64]) -> tuple[Bytes, Bytes]:
        """See :class:`Codec`. Raises EncodingError: a value is too large."""
        with np.errstate(over="ignore"):
            halves = values_V.astype("<f2")
        if not np.isfinite(halves).all():
            raise EncodingError(
                f"values up to {np.abs(values_V).max():g} do not fit float16: choose bfloat16 or int8, or lower the "
                "learning rates"
            )
        return halves.view(np.uint8), NOTHING

    def unpack(self, packed: Bytes, scales: Bytes, sizes_K: NDArray[np.int64]) -> NDArray[np.float32]:
        """See :class:`Codec`."""
        return packed.view("<f2").astype(np.float32)

    def words(self, packed: Bytes, num_values: int) -> NDArray[np.uint16]:
        """As of :class:`Levels`."""
        return packed.view("<u2")

    def joined(self, words_V: NDArray[np.uint16]) -> Bytes:
        """As of :class:`Levels`."""
        return words_V.view(np.uint8)


@dataclass(frozen=True)
class BFloat16:
    """The upper half of a float32: its range, with 8 bits of precision."""

    wire_id: int

    def value_bytes(self, sizes_K: NDArray[np.int64]) -> int:
        """2 a value."""
        return 2 * int(sizes_K.sum())

    def scale_bytes(self, num_chunks: int) -> int:
        """None."""
        return 0

    def pack(self, values_V: NDArray[np.float32], sizes_K: NDArray[np.int64]) -> tuple[Bytes, Bytes]:
        """See :class:`Codec`."""
        return to_bfloat16(values_V).view(np.uint8), NOTHING

    def unpack(self, packed: Bytes, scales: Bytes, sizes_K: NDArray[np.int64]) -> NDArray[np.float32]:
        """See :class:`Codec`."""
        return from_bfloat16(packed.view("<u2"))

    def words(self, packed: Bytes, num_values: int) -> NDArray[np.uint16]:
        """As of :class:`Levels`."""
        return packed.view("<u2")

    def joined(self, words_V: NDArray[np.uint16]) -> Bytes:
        """As of :class:`Levels`."""
        return words_V.view(np.uint8)
