"""The 36 bytes at the start of every message, and its checksum."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntFlag

import numpy as np
import xxhash
from numpy.typing import NDArray

from fedchunk.orchestrator.chunking.layout import Layout
from fedchunk.orchestrator.core.errors import PayloadError

_HEADER = struct.Struct("<4s B B B B I i I 8s I I")
_CHECKSUM = struct.Struct("<I")
SIZE = _HEADER.size
MAGIC = b"FDCK"
VERSION = 1


class Flag(IntFlag):
    """What a message holds."""

    CHANGES = 1
    """Values are to be added to what the receiver has, not to take its place."""
    SHARES = 2
    """A share of the cohort's weight beside each chunk."""
    BUFFERS = 4
    """The model's buffers, whole."""
    MASK = 8
    """Which chunks they are; without it both ends know."""
    CHOICE = 16
    """Which chunks the receiver is to send."""
    SCORES = 32
    """One number per chunk, to agree on a choice; nothing else."""
    FROM_FIRST = 64
    """Changes are to be added to the first model instead of what the receiver has."""


@dataclass(frozen=True)
class Header:
    """The fixed part of a message."""

    flags: Flag
    encoding: int
    """The encoding's ``wire_id``."""
    compression: int
    """Place in :data:`fedchunk.orchestrator.chunking.encoding.COMPRESSIONS`."""
    round_index: int
    sender: int
    num_samples: int
    num_selected: int
    checksum: int = 0
    """As the sender wrote it; :func:`write` fills it in."""


def write(payload: NDArray[np.uint8], header: Header, layout: Layout) -> None:
    """Writes the header into the first bytes of a message whose rest is complete, checksum last."""
    _HEADER.pack_into(
        payload.data,
        0,
        MAGIC,
        VERSION,
        header.flags,
        header.encoding,
        header.compression,
        header.round_index,
        header.sender,
        header.num_samples,
        layout.fingerprint,
        header.num_selected,
        0,
    )
    digest = _digest(payload)
    digest.update(payload.data[SIZE:])
    _CHECKSUM.pack_into(payload.data, SIZE - _CHECKSUM.size, _folded(digest))


def read(payload: NDArray[np.uint8], layout: Layout) -> Header:
    """Reads and checks the header. Raises PayloadError: type, length, magic, version, layout, checksum."""
    header = read_unverified(payload, layout)
    verify(payload, header, len(payload))
    return header


def read_unverified(payload: NDArray[np.uint8], layout: Layout) -> Header:
    """Reads the header. Raises PayloadError: type, length, magic, version, layout; :func:`verify` must follow."""
    if not (isinstance(payload, np.ndarray) and payload.dtype == np.uint8 and payload.ndim == 1):
        raise PayloadError("not a run of bytes")
    if len(payload) < SIZE:
        raise PayloadError(f"{len(payload)} bytes are too short for a header")
    magic, version, flags, encoding, compression, round_index, sender, num_samples, fingerprint, selected, checksum = (
        _HEADER.unpack_from(payload.data)
    )
    if magic != MAGIC:
        raise PayloadError(f"starts with {magic!r}, not {MAGIC!r}")
    if version != VERSION:
        raise PayloadError(f"version {version}, this is version {VERSION}")
    if fingerprint != layout.fingerprint:
        raise PayloadError(f"another layout than {layout.num_parameters} values in {layout.num_chunks} chunks")
    return Header(Flag(flags), encoding, compression, round_index, sender, num_samples, selected, checksum)


def verify(payload: NDArray[np.uint8], header: Header, floats_at: int) -> bool:
    """Compares the checksum. Raises PayloadError: it does not match.

    Args:
        payload: the whole message.
        header: from :func:`read_unverified`.
        floats_at: from this byte on the message is taken for float32 values and looked through while it is in the
            cache anyway: a large message then comes from memory once instead of twice.

    Returns:
        Whether those values are all finite.
    """
    digest = _digest(payload)
    digest.update(payload.data[SIZE:floats_at])
    finite = True
    for start in range(floats_at, len(payload), _BLOCK_BYTES):
        block = payload[start : start + _BLOCK_BYTES]
        digest.update(block.data)
        finite = finite and all_finite(block[: len(block) // 4 * 4].view("<f4"))
    check(_folded(digest) == header.checksum, "checksum does not match: damaged on the way")
    return finite


def all_finite(values: NDArray[np.float32]) -> bool:
    """Whether there is no nan and no inf, without a temporary as large as the values."""
    return all(bool(np.isfinite(values[i : i + _BLOCK]).all()) for i in range(0, len(values), _BLOCK))


def check(holds: bool, otherwise: str) -> None:
    """Raises PayloadError unless something holds."""
    if not holds:
        raise PayloadError(otherwise)


_BLOCK = 1 << 16
"""Values looked at at once; they and their booleans stay in a core's second-level cache."""
_BLOCK_BYTES = 4 * _BLOCK


def _digest(payload: NDArray[np.uint8]) -> xxhash.xxh3_64:
    """Begins the checksum: 32 bits of XXH3 over everything but its own four bytes. Finds accidents, not forgeries.

    It reads at the speed of a copy; CRC-32 took four times as long, more than all other steps of a plain message.
    """
    return xxhash.xxh3_64(payload.data[: SIZE - _CHECKSUM.size])


def _folded(digest: xxhash.xxh3_64) -> int:
    return digest.intdigest() & 0xFFFFFFFF
