"""What an encoding is to the rest: values of chunks into bytes and back, of a length that both ends know."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

NOTHING: Bytes = np.empty(0, np.uint8)

FIRST_OWN_ID = 128
"""Ids of users' encodings begin here."""


class Codec(Protocol):
    """Turns the values of chunks into bytes and back."""

    def __hash__(self) -> int:
        """Of its options: what is worked out for an encoding is kept with it."""
        ...

    @property
    def wire_id(self) -> int:
        """What a message calls it, one byte; below :data:`FIRST_OWN_ID` for those that are built in."""
        ...

    def value_bytes(self, sizes_K: NDArray[np.int64]) -> int | None:
        """Bytes that the values of chunks of these sizes occupy; None where that depends on the values."""
        ...

    def scale_bytes(self, num_chunks: int) -> int:
        """Bytes of the scales beside them, whatever the encoding's options are."""
        ...

    def pack(self, values_V: NDArray[np.float32], sizes_K: NDArray[np.int64]) -> tuple[Bytes, Bytes]:
        """Finite values, one chunk behind the other, as bytes, and the bytes of their scales.

        Raises EncodingError: the encoding cannot hold them.
        """
        ...

    def unpack(self, packed: Bytes, scales: Bytes, sizes_K: NDArray[np.int64]) -> NDArray[np.float32]:
        """The values that a receiver sees. Raises ValueError: the bytes are not what :meth:`pack` gives."""
        ...
