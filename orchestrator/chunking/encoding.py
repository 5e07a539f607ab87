"""Messages as bytes: what is encoded here is what is billed, and what the receiver decodes.

    offset  bytes  what
    0       64     header: magic, version, round, sender, samples, P, layout fingerprint, C, K, S, B, I, checksum
    64      ...    mask: one bit per chunk, lowest chunk in the highest bit, padded to a multiple of 4 bytes
            4 V    values: the V float32 values of the selected chunks, one behind the other
            4 S    shares: one float32 per selected chunk (S = K), or none (S = 0)
            4 B    floating-point buffers (B = all of the model's, or 0)
            8 I    integer buffers (I = all of the model's, or 0)

All little-endian. The checksum is the CRC-32 of everything else: it finds accidents, not forgeries. Nothing is
pickled and nothing is trusted: :func:`decode` checks every number against the receiver's own layout first.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from orchestrator.chunking.layout import Layout
from orchestrator.errors import PayloadError

_HEADER = struct.Struct("<4s H 2x I i q q 8s I I I I I I")
MAGIC = b"FDCK"
VERSION = 1

KINDS = ("header", "mask", "values", "shares", "buffers")
"""The kinds of bytes of a message, as the ledger names them."""


@dataclass(frozen=True)
class Message:
    """A decoded message. Arrays are read-only views of the bytes."""

    round_index: int
    sender: int
    num_samples: int
    mask_C: NDArray[np.bool_]
    values: NDArray[np.float32]
    """The values of the chunks in ``mask_C``, one chunk behind the other."""
    shares_K: NDArray[np.float32] | None
    buffers_B: NDArray[np.float32] | None
    counters_I: NDArray[np.int64] | None


def message_bytes(
    num_chunks: int, num_values: int, num_float_buffers: int, num_integer_buffers: int, num_shares: int = 0
) -> dict[str, int]:
    """Bytes of a message by kind; their sum is ``len()`` of what :func:`encode` returns (a test holds it to that)."""
    return {
        "header": _HEADER.size,
        "mask": _mask_bytes(num_chunks),
        "values": 4 * num_values,
        "shares": 4 * num_shares,
        "buffers": 4 * num_float_buffers + 8 * num_integer_buffers,
    }


def encode(
    layout: Layout,
    vector_P: NDArray[np.float32],
    mask_C: NDArray[np.bool_],
    *,
    round_index: int,
    sender: int,
    num_samples: int,
    buffers_B: NDArray[np.float32],
    counters_I: NDArray[np.int64],
    shares_K: NDArray[np.float32] | None = None,
) -> tuple[NDArray[np.uint8], dict[str, int]]:
    """The chunks ``mask_C`` of ``vector_P`` and the buffers as one run of bytes, and its size by kind.

    The values are copied once, straight from the vector into the message.
    """
    num_shares = 0 if shares_K is None else len(shares_K)
    num_values = layout.num_values(mask_C)
    sizes = message_bytes(layout.num_chunks, num_values, len(buffers_B), len(counters_I), num_shares)
    payload = np.empty(sum(sizes.values()), dtype=np.uint8)
    sections = _sections(payload, sizes)
    packed = np.packbits(mask_C)
    sections["mask"][: len(packed)] = packed
    sections["mask"][len(packed) :] = 0
    layout.cut(vector_P, mask_C, sections["values"].view("<f4"))
    if shares_K is not None:
        sections["shares"][:] = shares_K.astype("<f4", copy=False).view(np.uint8)
    sections["buffers"][: 4 * len(buffers_B)] = buffers_B.astype("<f4", copy=False).view(np.uint8)
    sections["buffers"][4 * len(buffers_B) :] = counters_I.astype("<i8", copy=False).view(np.uint8)
    header = (MAGIC, VERSION, round_index, sender, num_samples, layout.num_parameters, layout.fingerprint)
    counts = (layout.num_chunks, int(mask_C.sum()), num_shares, len(buffers_B), len(counters_I))
    _HEADER.pack_into(payload.data, 0, *header, *counts, 0)
    _HEADER.pack_into(payload.data, 0, *header, *counts, zlib.crc32(payload.data))
    return payload, sizes


def decode(payload: NDArray[np.uint8], layout: Layout, num_float_buffers: int, num_integer_buffers: int) -> Message:
    """Checks the bytes and takes them apart without copying the values.

    Raises PayloadError when they are not a message of this layout: type, length, magic, version, checksum, layout,
    counts that disagree, values that are not finite, shares outside (0, 1].
    """
    fields = _checked_header(payload, layout)
    round_index, sender, num_samples, num_selected, num_shares, num_floats, num_integers = fields
    _check(num_floats in (0, num_float_buffers), f"{num_floats} float buffers, the model has {num_float_buffers}")
    _check(num_integers in (0, num_integer_buffers), f"{num_integers} counters, the model has {num_integer_buffers}")
    _check(num_shares in (0, num_selected), f"{num_shares} shares for {num_selected} chunks")
    mask_C = _checked_mask(payload, layout, num_selected)
    sizes = message_bytes(layout.num_chunks, layout.num_values(mask_C), num_floats, num_integers, num_shares)
    expected = sum(sizes.values())
    _check(len(payload) == expected, f"{len(payload)} bytes, its header describes {expected}")
    sections = _sections(payload, sizes)
    values = sections["values"].view("<f4")
    shares_K = sections["shares"].view("<f4") if num_shares else None
    buffers_B = sections["buffers"][: 4 * num_floats].view("<f4")
    counters_I = np.frombuffer(sections["buffers"][4 * num_floats :].tobytes(), dtype="<i8")
    _check(all_finite(values), "values that are not finite")
    _check(all_finite(buffers_B), "buffers that are not finite")
    if shares_K is not None:
        _check(bool(((shares_K > 0) & (shares_K <= 1)).all()), "shares outside (0, 1]")
    return Message(
        round_index,
        sender,
        num_samples,
        mask_C,
        values,
        shares_K,
        buffers_B if num_floats == num_float_buffers else None,
        counters_I if num_integers == num_integer_buffers else None,
    )


def all_finite(values: NDArray[np.float32]) -> bool:
    """Whether there is no nan and no inf, without a temporary as large as the values."""
    return all(bool(np.isfinite(values[i : i + _BLOCK]).all()) for i in range(0, len(values), _BLOCK))


_BLOCK = 1 << 16
"""Values checked at once; their booleans stay in cache."""


def _mask_bytes(num_chunks: int) -> int:
    return 4 * -(-num_chunks // 32)


def _sections(payload: NDArray[np.uint8], sizes: dict[str, int]) -> dict[str, NDArray[np.uint8]]:
    ends = np.cumsum([sizes[kind] for kind in KINDS]).tolist()
    return {kind: payload[end - sizes[kind] : end] for kind, end in zip(KINDS, ends, strict=True)}


def _check(holds: bool, otherwise: str) -> None:
    if not holds:
        raise PayloadError(otherwise)


def _checked_header(payload: NDArray[np.uint8], layout: Layout) -> tuple[int, int, int, int, int, int, int]:
    _check(isinstance(payload, np.ndarray) and payload.dtype == np.uint8 and payload.ndim == 1, "not a run of bytes")
    _check(len(payload) >= _HEADER.size, f"{len(payload)} bytes are too short for a header")
    magic, version, round_index, sender, num_samples, num_parameters, fingerprint, num_chunks, *rest, checksum = (
        _HEADER.unpack_from(payload.data)
    )
    _check(magic == MAGIC, f"starts with {magic!r}, not {MAGIC!r}")
    _check(version == VERSION, f"version {version}, this is version {VERSION}")
    _check(
        (num_parameters, num_chunks, fingerprint) == (layout.num_parameters, layout.num_chunks, layout.fingerprint),
        f"another layout: {num_parameters} values in {num_chunks} chunks, "
        f"expected {layout.num_parameters} in {layout.num_chunks}",
    )
    body = zlib.crc32(b"\0\0\0\0", zlib.crc32(payload.data[: _HEADER.size - 4]))
    _check(zlib.crc32(payload.data[_HEADER.size :], body) == checksum, "checksum does not match: damaged on the way")
    num_selected, num_shares, num_floats, num_integers = rest
    return round_index, sender, num_samples, num_selected, num_shares, num_floats, num_integers


def _checked_mask(payload: NDArray[np.uint8], layout: Layout, num_selected: int) -> NDArray[np.bool_]:
    end = _HEADER.size + _mask_bytes(layout.num_chunks)
    _check(len(payload) >= end, f"{len(payload)} bytes are too short for the mask")
    bits = np.unpackbits(payload[_HEADER.size : end])
    _check(not bits[layout.num_chunks :].any(), "mask marks chunks that do not exist")
    mask_C = bits[: layout.num_chunks].astype(np.bool_)
    _check(int(mask_C.sum()) == num_selected, f"mask marks {int(mask_C.sum())} chunks, header says {num_selected}")
    return mask_C
