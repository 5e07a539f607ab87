"""Chunks of a vector as packed parts, on their way into a message."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fedchunk.orchestrator.chunking import scale_code
from fedchunk.orchestrator.chunking.codecs.built_in import FLOAT32
from fedchunk.orchestrator.chunking.codecs.codec import NOTHING, Bytes, Codec
from fedchunk.orchestrator.chunking.layout import Layout


@dataclass(frozen=True)
class Packed:
    """The packed values of K chunks. Parts may be views of the vector they come from: nothing is copied yet."""

    codec: Codec
    parts: tuple[Bytes, ...]
    scales: Bytes
    sizes_K: NDArray[np.int64]
    given: NDArray[np.float32] | None = None
    """The values as they were, one chunk behind the other, where these were packed here and are not their own code."""

    @property
    def is_view(self) -> bool:
        """Whether parts are views of the vector they come from."""
        return self.codec == FLOAT32

    @cached_property
    def joined(self) -> Bytes:
        """All parts in one array."""
        if len(self.parts) == 1:
            return self.parts[0]
        return np.concatenate(self.parts) if self.parts else NOTHING

    @cached_property
    def seen(self) -> NDArray[np.float32]:
        """The values as a receiver sees them, one chunk behind the other."""
        return self.codec.unpack(self.joined, self.scales, self.sizes_K)

    @cached_property
    def lost(self) -> NDArray[np.float32]:
        """The values as they were less what a receiver sees; of what was packed here."""
        if self.is_view:
            return np.zeros(int(self.sizes_K.sum()), np.float32)
        assert self.given is not None, "what another one packed"
        return self.given - self.seen

    def compressed(self, compression: str) -> Bytes | None:
        """All parts, compressed by one of Arrow's codecs; None where that, with the scales as :mod:`scale_code` writes
        them, is not shorter. Worked out once."""
        if compression not in self._compressed:
            smaller = pa.compress(self.joined, codec=compression, asbytes=True)
            shorter = len(smaller) + self.coded_scale_bytes < len(self.joined) + len(self.scales)
            self._compressed[compression] = np.frombuffer(smaller, np.uint8) if shorter else None
        return self._compressed[compression]

    @cached_property
    def coded_scale_bytes(self) -> int:
        """Bytes of the scales as :mod:`scale_code` writes them, which goes with compressed values."""
        return scale_code.length(self.scales)

    @cached_property
    def _compressed(self) -> dict[str, Bytes | None]:
        return {}


def pack_chunks(codec: Codec, vector_P: NDArray[np.float32], mask_C: NDArray[np.bool_], layout: Layout) -> Packed:
    """Packs the chunks ``mask_C`` of a vector. Raises EncodingError: the encoding cannot hold a value."""
    sizes_K = layout.sizes_C[mask_C]
    if codec is FLOAT32 or codec == FLOAT32:
        whole_P = np.ascontiguousarray(vector_P, "<f4")
        parts = tuple(whole_P[place].view(np.uint8) for place, _ in layout.places(mask_C))
        return Packed(codec, parts, NOTHING, sizes_K)
    values_V = np.empty(layout.num_values(mask_C), "<f4")
    layout.cut(vector_P, mask_C, values_V)
    packed, scales = codec.pack(values_V, sizes_K)
    return Packed(codec, (packed,), scales, sizes_K, values_V)
