"""A user's encoding, checked as it is used: what it cannot read back is its own fault, and is said with its place."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.chunking.codecs import FIRST_OWN_ID
from fedchunk.orchestrator.components import Bound

_NOTHING = np.empty(0, np.uint8)


class OwnCodec:
    """Wraps an object with ``encode(values, sizes_K) -> bytes``, ``decode(bytes, sizes_K) -> values`` and ``wire_id``.

    Raises ComponentFailed where it has none of these, or an id that is not from 128 to 255.
    """

    def __init__(self, bound: Bound, codec: Any) -> None:
        self._bound, self._codec = bound, codec
        for method in ("encode", "decode"):
            if not callable(getattr(codec, method, None)):
                raise bound.failed(f"returned {type(codec).__name__} without a method {method}")
        wire_id = getattr(codec, "wire_id", None)
        if not isinstance(wire_id, int) or not FIRST_OWN_ID <= wire_id <= 255:
            allowed = f"a whole number from {FIRST_OWN_ID} to 255: what a message calls this encoding"
            raise bound.failed(f"has wire_id {wire_id!r}; allowed: {allowed}")
        self.wire_id = wire_id

    def value_bytes(self, sizes_K: NDArray[np.int64]) -> int | None:
        """Only encoding can tell."""
        return None

    def scale_bytes(self, num_chunks: int) -> int:
        """What it needs beside the values is among its bytes."""
        return 0

    def pack(
        self, values_V: NDArray[np.float32], sizes_K: NDArray[np.int64]
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Its bytes."""
        with self._bound.named():
            encoded = self._codec.encode(values_V, sizes_K)
            packed = np.frombuffer(bytes(encoded), np.uint8)
        return packed, _NOTHING

    def unpack(
        self, packed: NDArray[np.uint8], scales: NDArray[np.uint8], sizes_K: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """The values that it reads from them."""
        with self._bound.named():
            values = np.asarray(self._codec.decode(packed.tobytes(), sizes_K), np.float32)
        if values.shape != (int(sizes_K.sum()),):
            raise self._bound.failed(f"decoded {values.shape} values of {int(sizes_K.sum())}")
        if not np.isfinite(values).all():
            raise self._bound.failed("decoded values that are not finite")
        return values
