"""The header of a message, and its checksum: 32 bytes in the first message over a connection, 8 in all later ones.

    setup, 24 bytes, in the first message only: what both ends know from then on
        4  "FDCK"
        4  round
        4  sender, signed
        4  training samples of the sender
        8  fingerprint of the layout
    head, 8 bytes, in every message
        1  version, 2, in the lower six bits, compression in the upper two
        1  flags (:class:`Flag`)
        1  encoding of the values: its ``wire_id``
        1  code of the mask in the lowest two bits, of the choice in the next two, the round's last four bits
        4  checksum of setup, head and all that follows, the setup counted also where it is not sent

All little-endian. So a later message of another round, sender or layout than the receiver expects has the wrong
checksum, as one that was damaged has.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntFlag

import numpy as np
import xxhash
from numpy.typing import NDArray

from fedchunk.orchestrator.chunking.layout import Layout
from fedchunk.orchestrator.core.errors import PayloadError

_SETUP = struct.Struct("<4s I i I 8s")
_HEAD = struct.Struct("<B B B B I")
_CHECKSUM = struct.Struct("<I")
SETUP_SIZE = _SETUP.size
"""Bytes that the first message over a connection has more than a later one."""
SIZE = _HEAD.size
"""Bytes of the header of a later message."""
MAGIC = b"FDCK"
VERSION = 2
_ROUNDS = 16
"""So many rounds can be told apart by what a later message says of its round."""


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
class Origin:
    """Where a message comes from, as both ends know it."""

    round_index: int
    sender: int
    """A client, or -1 for the coordinator."""
    num_samples: int
    """Training samples of the client."""


@dataclass(frozen=True)
class Expected:
    """What a receiver knows of a message before it comes."""

    origin: Origin
    stands: bool
    """Whether the connection stands: the sender has sent over it before."""


@dataclass(frozen=True)
class Header:
    """The fixed part of a message."""

    flags: Flag
    encoding: int
    """The encoding's ``wire_id``."""
    compression: int
    """Place in :data:`fedchunk.orchestrator.chunking.sections.COMPRESSIONS`."""
    origin: Origin
    mask_code: int = 0
    """One of :mod:`fedchunk.orchestrator.chunking.choice_code`; 0 where there is no mask, as below."""
    choice_code: int = 0
    checksum: int = 0
    """As the sender wrote it; :func:`write` fills it in."""
    size: int = SETUP_SIZE + SIZE
    """Bytes of the header in its message."""


def write(payload: NDArray[np.uint8], header: Header, layout: Layout) -> None:
    """Writes setup and head into the first bytes of a message whose rest is complete, checksum last."""
    payload[:SETUP_SIZE] = np.frombuffer(_setup(header.origin, layout), np.uint8)
    codes = header.mask_code | header.choice_code << 2 | header.origin.round_index % _ROUNDS << 4
    _HEAD.pack_into(
        payload.data, SETUP_SIZE, VERSION | header.compression << 6, header.flags, header.encoding, codes, 0
    )
    head = payload[SETUP_SIZE:]
    digest = _digest(payload[:SETUP_SIZE].tobytes(), head)
    digest.update(head.data[SIZE:])
    _CHECKSUM.pack_into(head.data, SIZE - _CHECKSUM.size, _folded(digest))


def read(payload: NDArray[np.uint8], layout: Layout, expected: Expected) -> Header:
    """Reads the header; :func:`verify` must follow.

    Raises PayloadError: type, length, magic, version, layout; a setup on a connection that stands, or none on another.
    """
    if not (isinstance(payload, np.ndarray) and payload.dtype == np.uint8 and payload.ndim == 1):
        raise PayloadError("not a run of bytes")
    origin, size = expected.origin, SIZE
    has_setup = payload[: len(MAGIC)].tobytes() == MAGIC
    if not expected.stands:
        origin, size = _read_setup(payload, layout), SETUP_SIZE + SIZE
    elif has_setup:
        raise PayloadError("sets up a connection that stands")
    if len(payload) < size:
        raise PayloadError(f"{len(payload)} bytes are too short for a header")
    first, flags, encoding, codes, checksum = _HEAD.unpack_from(payload.data, size - SIZE)
    version, compression = first & 63, first >> 6
    if version != VERSION:
        raise PayloadError(f"version {version}, this is version {VERSION}")
    return Header(Flag(flags), encoding, compression, origin, codes & 3, codes >> 2 & 3, checksum, size)


def verify(payload: NDArray[np.uint8], header: Header, layout: Layout, expected: Expected, floats_at: int) -> bool:
    """Compares the checksum, then where the message says that it comes from.

    Args:
        payload: the whole message.
        header: from :func:`read`.
        layout: the receiver's cut.
        expected: as :func:`read` was given it.
        floats_at: from this byte on the message is taken for float32 values and looked through while it is in the
            cache anyway: a large message then comes from memory once instead of twice.

    Returns:
        Whether those values are all finite.

    Raises:
        PayloadError: the checksum does not match, or the message comes from elsewhere.
    """
    digest = _digest(_setup(header.origin, layout), payload[header.size - SIZE :])
    digest.update(payload.data[header.size : floats_at])
    finite = True
    for start in range(floats_at, len(payload), _BLOCK_BYTES):
        block = payload[start : start + _BLOCK_BYTES]
        digest.update(block.data)
        finite = finite and all_finite(block[: len(block) // 4 * 4].view("<f4"))
    if _folded(digest) != header.checksum:
        raise PayloadError(f"checksum does not match: damaged on the way{_or_else(payload, header, expected)}")
    found, wanted = header.origin, expected.origin
    if found != wanted:
        names = "says (round, client, samples)"
        raise PayloadError(f"{names} {_numbers(found)}, expected {_numbers(wanted)}")
    return finite


def _read_setup(payload: NDArray[np.uint8], layout: Layout) -> Origin:
    """Where the first message over a connection says that it comes from."""
    if len(payload) < SETUP_SIZE + SIZE:
        raise PayloadError(f"{len(payload)} bytes are too short for the header that sets up a connection")
    magic, round_index, sender, num_samples, fingerprint = _SETUP.unpack_from(payload.data)
    if magic != MAGIC:
        raise PayloadError(f"starts with {magic!r}, not {MAGIC!r}")
    if fingerprint != layout.fingerprint:
        raise PayloadError(f"another layout than {layout.num_parameters} values in {layout.num_chunks} chunks")
    return Origin(round_index, sender, num_samples)


def _or_else(payload: NDArray[np.uint8], header: Header, expected: Expected) -> str:
    """What else a wrong checksum may mean, for people."""
    if not expected.stands:
        return ""
    round_index, said = expected.origin.round_index, int(payload[header.size - SIZE + 3]) >> 4
    if said != round_index % _ROUNDS:
        return f", or of another round than expected, {round_index}"
    return ", or of another sender, number of samples or layout than expected"


def _numbers(origin: Origin) -> tuple[int, int, int]:
    return origin.round_index, origin.sender, origin.num_samples


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


def _setup(origin: Origin, layout: Layout) -> bytes:
    return _SETUP.pack(MAGIC, origin.round_index, origin.sender, origin.num_samples, layout.fingerprint)


def _digest(setup: bytes, head: NDArray[np.uint8]) -> xxhash.xxh3_64:
    """Begins the checksum: 32 bits of XXH3 over everything but its own four bytes. Finds accidents, not forgeries.

    It reads at the speed of a copy; CRC-32 took four times as long, more than all other steps of a plain message.
    """
    return xxhash.xxh3_64(setup + head[: SIZE - _CHECKSUM.size].tobytes())


def _folded(digest: xxhash.xxh3_64) -> int:
    return digest.intdigest() & 0xFFFFFFFF
