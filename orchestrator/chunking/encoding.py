"""Messages as bytes: what is encoded here is what is billed, and what the receiver decodes.

    header    36 bytes, see :mod:`fedchunk.orchestrator.chunking.header`
    mask      which chunks follow: a bit per chunk, padded to a multiple of 4 bytes; none where both ends know
    choice    which chunks the receiver is to send, as a mask, or none
    scales    2 bytes per chunk (of stc, in all), for the encodings that have them
    shares    a float32 per chunk, or none
    buffers   the model's float32 and int64 buffers, or none
    values    the values of the chunks, one behind the other, encoded and perhaps compressed, to the end

All little-endian. Nothing is pickled and nothing is trusted: :func:`decode` checks every number against the
receiver's own layout first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fedchunk.orchestrator.chunking import codecs, header
from fedchunk.orchestrator.chunking.codecs import FIRST_OWN_ID, FLOAT32, Codec, Encoding, Packed, codec_of
from fedchunk.orchestrator.chunking.header import Flag, Header, check
from fedchunk.orchestrator.chunking.layout import Layout
from fedchunk.orchestrator.core.errors import FedchunkError, PayloadError

Compression = Literal["none", "lz4", "zstd"]
COMPRESSIONS: tuple[Compression, ...] = ("none", "lz4", "zstd")

KINDS = ("header", "mask", "choice", "scales", "shares", "buffers", "values")
"""The kinds of bytes of a message, as the ledger names them, in their order."""


@dataclass(frozen=True)
class Packing:
    """How values travel."""

    codec: Codec = FLOAT32
    compression: Compression = "none"

    @classmethod
    def built_in(cls, encoding: Encoding, compression: Compression = "none") -> Packing:
        """One of the encodings of :mod:`chunking.codecs`."""
        return cls(codecs.BUILT_IN[encoding], compression)


PLAIN = Packing()


@dataclass(frozen=True)
class Message:
    """A decoded message. Arrays are read-only; float32 values are views of the bytes."""

    round_index: int
    sender: int
    num_samples: int
    mask_C: NDArray[np.bool_]
    values: NDArray[np.float32]
    """The values of the chunks in ``mask_C``, one chunk behind the other, as the encoding left them."""
    is_change: bool
    """Whether values are to be added to what the receiver has, or to take its place."""
    from_first: bool
    """Whether they are to be added to the first model instead of what the receiver has."""
    shares_K: NDArray[np.float32] | None
    choice_C: NDArray[np.bool_] | None
    buffers_B: NDArray[np.float32] | None
    counters_I: NDArray[np.int64] | None
    sizes: dict[str, int]
    """Its bytes by kind; they add up to its length."""


@dataclass(frozen=True)
class Encoded:
    """A message ready to send."""

    payload: NDArray[np.uint8]
    sizes: dict[str, int]
    """Its bytes by kind."""
    _packed: Packed

    @cached_property
    def seen(self) -> NDArray[np.float32]:
        """The values as the receiver will see them: what a lossy encoding lost is the sender's to keep."""
        packed = self._packed
        return packed.codec.unpack(packed.joined, packed.scales, packed.sizes_K)


def message_bytes(
    num_chunks: int,
    num_values: int,
    num_float_buffers: int,
    num_integer_buffers: int,
    num_shares: int = 0,
    *,
    num_selected: int = 0,
    codec: Codec = FLOAT32,
    with_mask: bool = True,
    with_choice: bool = False,
) -> dict[str, int]:
    """Bytes of a message by kind, without compression; their sum is the length of what :func:`encode` returns.

    ``num_selected`` chunks matter only to encodings with scales. Where only an encoding itself can tell the length of
    values, its bytes for values drawn from a normal distribution are an estimate.
    """
    return {
        "header": header.SIZE,
        "mask": _mask_bytes(num_chunks) if with_mask else 0,
        "choice": _mask_bytes(num_chunks) if with_choice else 0,
        "scales": codec.scale_bytes(num_selected),
        "shares": 4 * num_shares,
        "buffers": 4 * num_float_buffers + 8 * num_integer_buffers,
        "values": _value_bytes(codec, num_values, num_selected),
    }


def _value_bytes(codec: Codec, num_values: int, num_selected: int) -> int:
    """The length of the values, estimated where it depends on them."""
    sizes_K = np.diff(np.arange(max(1, num_selected) + 1, dtype=np.int64) * num_values // max(1, num_selected))
    known = codec.value_bytes(sizes_K)
    if known is not None:
        return known
    values = np.random.default_rng(0).standard_normal(num_values, dtype=np.float32)
    return len(codec.pack(values, sizes_K)[0])


def encode(
    layout: Layout,
    vector_P: NDArray[np.float32],
    mask_C: NDArray[np.bool_],
    *,
    round_index: int,
    sender: int,
    num_samples: int,
    buffers: tuple[NDArray[np.float32], NDArray[np.int64]] | None,
    packing: Packing = PLAIN,
    is_change: bool = False,
    shares_K: NDArray[np.float32] | None = None,
    choice_C: NDArray[np.bool_] | None = None,
    with_mask: bool = True,
) -> Encoded:
    """The chunks ``mask_C`` of ``vector_P`` as one run of bytes.

    Args:
        layout: the cut.
        vector_P: where the values come from.
        mask_C: the chunks to send.
        round_index: goes into the header, as do ``sender`` and ``num_samples``.
        sender: a client, or -1 for the coordinator.
        num_samples: training samples of the client.
        buffers: floating-point and integer buffers, or None to leave them out.
        packing: how values travel.
        is_change: values are to be added by the receiver.
        shares_K: a share per chunk, or None.
        choice_C: which chunks the receiver is to send, or None.
        with_mask: False where the receiver knows which chunks these are.

    Raises:
        ValueError: a value does not fit the encoding.
    """
    return encode_packed(
        layout,
        codecs.pack_chunks(packing.codec, vector_P, mask_C, layout),
        mask_C,
        round_index=round_index,
        sender=sender,
        num_samples=num_samples,
        buffers=buffers,
        compression=packing.compression,
        is_change=is_change,
        shares_K=shares_K,
        choice_C=choice_C,
        with_mask=with_mask,
    )


def encode_packed(
    layout: Layout,
    packed: Packed,
    mask_C: NDArray[np.bool_],
    *,
    round_index: int,
    sender: int,
    num_samples: int,
    buffers: tuple[NDArray[np.float32], NDArray[np.int64]] | None,
    compression: Compression = "none",
    is_change: bool = False,
    from_first: bool = False,
    shares_K: NDArray[np.float32] | None = None,
    choice_C: NDArray[np.bool_] | None = None,
    with_mask: bool = True,
) -> Encoded:
    """As :func:`encode`, of chunks ``mask_C`` whose values are packed already.

    ``from_first``: the changes are to be added to the first model, not to what the receiver has.
    """
    own = packed.codec.wire_id >= FIRST_OWN_ID  # of its values nobody else knows the length
    compression, values = _compressed(packed.parts, "none" if own else compression)
    sections = {
        "mask": _mask_section(mask_C) if with_mask else b"",
        "choice": _mask_section(choice_C) if choice_C is not None else b"",
        "scales": packed.scales,
        "shares": b"" if shares_K is None else shares_K.astype("<f4", copy=False),
        "buffers": b"" if buffers is None else _buffer_section(*buffers),
    }
    # Sums of numbers: enum's own operators take longer than the rest of a small header.
    flags = (
        is_change * Flag.CHANGES
        + from_first * Flag.FROM_FIRST
        + (shares_K is not None) * Flag.SHARES
        + (buffers is not None) * Flag.BUFFERS
        + with_mask * Flag.MASK
        + (choice_C is not None) * Flag.CHOICE
    )
    kinds = packed.codec.wire_id, COMPRESSIONS.index(compression)
    head = Header(Flag(flags), *kinds, round_index, sender, num_samples, int(np.count_nonzero(mask_C)))
    payload, sizes = assemble(head, layout, sections, values)
    return Encoded(payload, sizes, packed)


def assemble(
    head: Header,
    layout: Layout,
    sections: dict[str, NDArray[np.generic] | bytes],
    values: Sequence[NDArray[np.uint8]] | None = None,
) -> tuple[NDArray[np.uint8], dict[str, int]]:
    """Header, sections and values, if any, as one array of bytes, and their sizes. Everything is copied once."""
    parts = {kind: np.frombuffer(section, np.uint8) for kind, section in sections.items()}
    payload = np.concatenate([np.empty(header.SIZE, np.uint8), *parts.values(), *(values or ())])
    sizes = {"header": header.SIZE} | {kind: len(part) for kind, part in parts.items()}
    if values is not None:
        sizes["values"] = sum(map(len, values))
    header.write(payload, head, layout)
    return payload, sizes


def decode(
    payload: NDArray[np.uint8],
    layout: Layout,
    num_float_buffers: int,
    num_integer_buffers: int,
    known_C: NDArray[np.bool_] | None = None,
    own: Codec | None = None,
) -> Message:
    """Checks the bytes and takes them apart; float32 values are not copied.

    Args:
        payload: the bytes.
        layout: the receiver's cut.
        num_float_buffers: B of the receiver's model.
        num_integer_buffers: I of the receiver's model.
        known_C: which chunks a message without a mask holds.
        own: the receiver's encoding, where it is not built in or has options.

    Raises:
        PayloadError: the bytes are not a message of this layout, or hold values that are not finite.
    """
    head = header.read_unverified(payload, layout)
    plain = (head.encoding, head.compression) == _PLAIN_KINDS
    values_at = _values_at(head, layout.num_chunks, num_float_buffers, num_integer_buffers) if plain else len(payload)
    finite = header.verify(payload, head, values_at)
    check(Flag.SCORES not in head.flags, "holds scores, not chunks")
    codec = codec_of(head.encoding, own)
    if codec is None or head.compression >= len(COMPRESSIONS):
        raise PayloadError("an unknown encoding")
    cursor = _Cursor(payload)
    mask_C = cursor.mask(layout, "mask") if Flag.MASK in head.flags else known_C
    if mask_C is None:
        raise PayloadError("has no mask, and which chunks it holds is not known")
    num_marked = int(np.count_nonzero(mask_C))
    check(num_marked == head.num_selected, f"{num_marked} chunks are marked, the header says {head.num_selected}")
    choice_C = cursor.mask(layout, "choice") if Flag.CHOICE in head.flags else None
    scales = cursor.take("scales", codec.scale_bytes(head.num_selected))
    shares_K = cursor.take("shares", 4 * head.num_selected).view("<f4") if Flag.SHARES in head.flags else None
    buffers_B = counters_I = None
    if Flag.BUFFERS in head.flags:
        section = cursor.take("buffers", 4 * num_float_buffers + 8 * num_integer_buffers)
        buffers_B = section[: 4 * num_float_buffers].view("<f4")
        counters_I = np.frombuffer(section[4 * num_float_buffers :].tobytes(), "<i8")
        check(header.all_finite(buffers_B), "buffers that are not finite")
    sizes_K = layout.sizes_C[mask_C]
    packed = cursor.rest(codec.value_bytes(sizes_K), COMPRESSIONS[head.compression])
    values = _unpacked(codec, packed, scales, sizes_K)
    check(finite if plain else header.all_finite(values), "values that are not finite")
    if shares_K is not None:
        check(bool(((shares_K > 0) & (shares_K <= 1)).all()), "shares outside (0, 1]")
    return Message(
        head.round_index,
        head.sender,
        head.num_samples,
        mask_C,
        values,
        Flag.CHANGES in head.flags,
        Flag.FROM_FIRST in head.flags,
        shares_K,
        choice_C,
        buffers_B,
        counters_I,
        cursor.sizes,
    )


def _unpacked(
    codec: Codec, packed: NDArray[np.uint8], scales: NDArray[np.uint8], sizes_K: NDArray[np.int64]
) -> NDArray[np.float32]:
    """The values; bytes that an encoding cannot read are a bad payload, not a fault of the receiver."""
    try:
        return codec.unpack(packed, scales, sizes_K)
    except (ValueError, FedchunkError) as error:
        raise PayloadError(f"values that cannot be decoded: {error}") from error


_PLAIN_KINDS = FLOAT32.wire_id, COMPRESSIONS.index(PLAIN.compression)


def _values_at(head: Header, num_chunks: int, num_float_buffers: int, num_integer_buffers: int) -> int:
    """Where the values of a plain float32 message begin, if its header is true."""
    num_masks = (Flag.MASK in head.flags) + (Flag.CHOICE in head.flags)
    shares = 4 * head.num_selected if Flag.SHARES in head.flags else 0
    buffers = 4 * num_float_buffers + 8 * num_integer_buffers if Flag.BUFFERS in head.flags else 0
    return header.SIZE + num_masks * _mask_bytes(num_chunks) + shares + buffers


class _Cursor:
    """Walks through the sections of a message; every step is checked against its length."""

    def __init__(self, payload: NDArray[np.uint8]) -> None:
        self._payload = payload
        self._position = header.SIZE
        self.sizes = dict.fromkeys(KINDS, 0) | {"header": header.SIZE}

    def take(self, kind: str, length: int) -> NDArray[np.uint8]:
        end = self._position + length
        if end > len(self._payload):
            raise PayloadError(f"{len(self._payload)} bytes are too short for its {kind}")
        section = self._payload[self._position : end]
        self._position = end
        self.sizes[kind] = length
        return section

    def mask(self, layout: Layout, kind: str) -> NDArray[np.bool_]:
        bits = np.unpackbits(self.take(kind, _mask_bytes(layout.num_chunks)))
        check(not np.count_nonzero(bits[layout.num_chunks :]), f"{kind} marks chunks that do not exist")
        return bits[: layout.num_chunks].view(np.bool_)

    def rest(self, expected: int | None, compression: Compression) -> NDArray[np.uint8]:
        """The values' bytes, ``expected`` of them once decompressed; None where nobody can tell."""
        section = self.take("values", len(self._payload) - self._position)
        if expected is None:
            check(compression == "none", "compressed values whose length is not known")
            return section
        if compression != "none":
            try:
                raw = pa.decompress(section, decompressed_size=expected, codec=compression, asbytes=True)
            except (OSError, ValueError, pa.ArrowException) as error:
                raise PayloadError(f"values that do not decompress: {error}") from error
            section = np.frombuffer(raw, np.uint8)
        check(len(section) == expected, f"{len(section)} bytes of values, its header describes {expected}")
        return section


def _compressed(
    parts: Sequence[NDArray[np.uint8]], compression: Compression
) -> tuple[Compression, Sequence[NDArray[np.uint8]]]:
    """The bytes compressed, or as they are where that is not longer."""
    if compression == "none" or not parts:
        return "none", parts
    whole = np.concatenate(parts)
    smaller = pa.compress(whole, codec=compression, asbytes=True)
    return (compression, [np.frombuffer(smaller, np.uint8)]) if len(smaller) < len(whole) else ("none", [whole])


def _mask_bytes(num_chunks: int) -> int:
    return 4 * -(-num_chunks // 32)


def _mask_section(mask_C: NDArray[np.bool_]) -> bytes:
    return np.packbits(mask_C).tobytes().ljust(_mask_bytes(len(mask_C)), b"\0")


def _buffer_section(buffers_B: NDArray[np.float32], counters_I: NDArray[np.int64]) -> bytes:
    return buffers_B.astype("<f4", copy=False).tobytes() + counters_I.astype("<i8", copy=False).tobytes()
