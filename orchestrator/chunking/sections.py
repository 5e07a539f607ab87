"""Where the sections of a message lie in its bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.chunking import choice_code, scale_code
from fedchunk.orchestrator.chunking.codecs import Codec, codec_of
from fedchunk.orchestrator.chunking.header import Flag, Header, check
from fedchunk.orchestrator.chunking.layout import Layout
from fedchunk.orchestrator.core.errors import PayloadError

Compression = Literal["none", "lz4", "zstd"]
COMPRESSIONS: tuple[Compression, ...] = ("none", "lz4", "zstd")

KINDS = ("header", "mask", "choice", "scales", "shares", "buffers", "values")
"""The kinds of bytes of a message, as the ledger names them, in their order."""


@dataclass(frozen=True)
class Parts:
    """The sections of a message, as its bytes say."""

    codec: Codec
    mask_C: NDArray[np.bool_] | None
    """None where both ends know which chunks they are."""
    num_selected: int
    choice_C: NDArray[np.bool_] | None
    scales: NDArray[np.uint8]
    shares: NDArray[np.uint8] | None
    buffers: NDArray[np.uint8] | None
    values: NDArray[np.uint8]
    sizes: dict[str, int]
    """Bytes by kind; they add up to the message's length."""


def take_apart(
    payload: NDArray[np.uint8],
    head: Header,
    layout: Layout,
    num_float_buffers: int,
    num_integer_buffers: int,
    own: Codec | None = None,
) -> Parts:
    """Finds where the sections of a message lie; believes no number of it.

    Args:
        payload: the whole message.
        head: its header.
        layout: the receiver's cut.
        num_float_buffers: B of the receiver's model.
        num_integer_buffers: I of the receiver's model.
        own: the receiver's encoding, where it is not built in.

    Raises:
        PayloadError: there is no such message.
    """
    check(Flag.SCORES not in head.flags, "holds scores, not chunks")
    codec = codec_of(head.encoding, own)
    if codec is None or head.compression >= len(COMPRESSIONS):
        raise PayloadError("an unknown encoding")
    cursor, mask_C, choice_C = _Cursor(payload, head.size), None, None
    if Flag.MASK in head.flags:
        mask_C = cursor.choice("mask", head.mask_code, layout.num_chunks)
        count = int(np.count_nonzero(mask_C))
    else:
        count = int.from_bytes(cursor.take("mask", choice_code.count_bytes(layout.num_chunks)).tobytes(), "big")
    if Flag.CHOICE in head.flags:
        choice_C = cursor.choice("choice", head.choice_code, layout.num_chunks)
    scales = cursor.scales(codec.scale_bytes(count), packed=head.compression > 0)
    shares = cursor.take("shares", 4 * count) if Flag.SHARES in head.flags else None
    buffer_bytes = 4 * num_float_buffers + 8 * num_integer_buffers
    buffers = cursor.take("buffers", buffer_bytes) if Flag.BUFFERS in head.flags else None
    values = cursor.take("values", len(cursor.rest))
    return Parts(codec, mask_C, count, choice_C, scales, shares, buffers, values, cursor.sizes)


class _Cursor:
    """Walks through the sections of a message; every step is checked against its length."""

    def __init__(self, payload: NDArray[np.uint8], header_bytes: int) -> None:
        self._length = len(payload)
        self.rest = payload[header_bytes:]
        self.sizes = dict.fromkeys(KINDS, 0) | {"header": header_bytes}

    def take(self, kind: str, length: int) -> NDArray[np.uint8]:
        if length > len(self.rest):
            raise PayloadError(f"{self._length} bytes are too short for its {kind}")
        section, self.rest = self.rest[:length], self.rest[length:]
        self.sizes[kind] = length
        return section

    def scales(self, length: int, *, packed: bool) -> NDArray[np.uint8]:
        """``length`` bytes of scales; in a message with compressed values they are fewer."""
        if not packed:
            return self.take("scales", length)
        scales, taken = scale_code.read(self.rest, length // 2)
        self.take("scales", taken)
        return scales

    def choice(self, kind: str, code: int, num_chunks: int) -> NDArray[np.bool_]:
        """Chunks that the message names."""
        try:
            mask_C, length = choice_code.read(code, self.rest, num_chunks)
        except PayloadError as error:
            raise PayloadError(f"{kind}: {error.reason}") from error
        self.take(kind, length)
        return mask_C
