"""The 36 bytes at the start of every message, and its checksum."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntFlag

import numpy as np
import xxhash
from numpy.typing import NDArray

from orchestrator.chunking.layout import Layout
from orchestrator.errors import PayloadError

_HEADER = struct.Struct("<4s B B B B I i I 8s I I")
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


@dataclass(frozen=True)
class Header:
    """The fixed part of a message."""

    flags: Flag
    encoding: int
    """Place in :data:`orchestrator.chunking.encoding.ENCODINGS`."""
    compression: int
    """Place in :data:`orchestrator.chunking.encoding.COMPRESSIONS`."""
    round_index: int
    sender: int
    num_samples: int
    num_selected: int


def write(payload: NDArray[np.uint8], header: Header, layout: Layout) -> None:
    """Writes the header into the first bytes of a message whose rest is complete, checksum last."""
    fields = (
        MAGIC,
        VERSION,
        int(header.flags),
        header.encoding,
        header.compression,
        header.round_index,
        header.sender,
        header.num_samples,
        layout.fingerprint,
        header.num_selected,
    )
    _HEADER.pack_into(payload.data, 0, *fields, 0)
    _HEADER.pack_into(payload.data, 0, *fields, _checksum(payload))


def read(payload: NDArray[np.uint8], layout: Layout) -> Header:
    """Reads and checks the header. Raises PayloadError: type, length, magic, version, layout, checksum."""
    check(isinstance(payload, np.ndarray) and payload.dtype == np.uint8 and payload.ndim == 1, "not a run of bytes")
    check(len(payload) >= SIZE, f"{len(payload)} bytes are too short for a header")
    magic, version, flags, encoding, compression, round_index, sender, num_samples, fingerprint, selected, checksum = (
        _HEADER.unpack_from(payload.data)
    )
    check(magic == MAGIC, f"starts with {magic!r}, not {MAGIC!r}")
    check(version == VERSION, f"version {version}, this is version {VERSION}")
    check(
        fingerprint == layout.fingerprint,
        f"another layout than {layout.num_parameters} values in {layout.num_chunks} chunks",
    )
    check(_checksum(payload) == checksum, "checksum does not match: damaged on the way")
    return Header(Flag(flags), encoding, compression, round_index, sender, num_samples, selected)


def check(holds: bool, otherwise: str) -> None:
    """Raises PayloadError unless something holds."""
    if not holds:
        raise PayloadError(otherwise)


def _checksum(payload: NDArray[np.uint8]) -> int:
    """32 bits of XXH3 over everything but the checksum's own four bytes. Finds accidents, not forgeries.

    It reads at the speed of a copy; CRC-32 took four times as long, more than all other steps of a plain message.
    """
    digest = xxhash.xxh3_64(payload.data[: SIZE - 4])
    digest.update(payload.data[SIZE:])
    return digest.intdigest() & 0xFFFFFFFF
