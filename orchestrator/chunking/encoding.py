"""Messages as bytes: what is encoded here is what is billed, and what the receiver decodes.

    header    8 bytes, 32 in the first message over a connection: :mod:`fedchunk.orchestrator.chunking.header`
    mask      which chunks follow: :mod:`fedchunk.orchestrator.chunking.choice_code`; where both ends know, how many
    choice    which chunks the receiver is to send, coded as a mask, or none
    scales    2 bytes per chunk (of stc, in all), for the encodings that have them; fewer where values are compressed:
              :mod:`fedchunk.orchestrator.chunking.scale_code`
    shares    a float32 per chunk, or none
    buffers   the model's float32 and int64 buffers, or none
    values    the values of the chunks, one behind the other, encoded and perhaps compressed, to the end

Little-endian, but for masks. Nothing is pickled and nothing is trusted: :func:`decode` checks every number against
the receiver's own layout first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ParamSpec

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fedchunk.orchestrator.chunking import codecs, header
from fedchunk.orchestrator.chunking.codecs import FLOAT32, Codec, Encoding
from fedchunk.orchestrator.chunking.draft import Buffers, Draft, Encoded
from fedchunk.orchestrator.chunking.header import Expected, Flag, Origin, check
from fedchunk.orchestrator.chunking.layout import Layout
from fedchunk.orchestrator.chunking.sections import COMPRESSIONS, Compression, Parts, take_apart
from fedchunk.orchestrator.core.errors import FedchunkError, PayloadError

_Arguments = ParamSpec("_Arguments")


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
    """A decoded message, from where it was expected. Arrays are read-only, and views of the bytes if they can be."""

    mask_C: NDArray[np.bool_]
    values: NDArray[np.float32]
    """The values of the chunks in ``mask_C``, one chunk behind the other, as the encoding left them; not at a multiple
    of 4 bytes where they are part of a message: numpy takes them as fast from there, and a copy costs more than all
    checks."""
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


def message_bytes(
    num_values: int,
    num_float_buffers: int,
    num_integer_buffers: int,
    num_shares: int = 0,
    *,
    mask: int,
    num_selected: int = 0,
    codec: Codec = FLOAT32,
    choice: int = 0,
    sizes_K: NDArray[np.int64] | None = None,
) -> dict[str, int]:
    """Bytes of a message by kind, without compression, where the connection stands; their sum is its length.

    ``mask`` and ``choice`` are the bytes of these, which :mod:`fedchunk.orchestrator.chunking.choice_code` tells. The
    first message over a connection has :data:`fedchunk.orchestrator.chunking.header.SETUP_SIZE` bytes more.
    ``num_selected`` chunks matter only to encodings with scales, their sizes ``sizes_K`` to those that round for each
    chunk; None: they are as alike as can be. Where only an encoding itself can tell the length of values, its bytes for
    values drawn from a normal distribution are an estimate.
    """
    return {
        "header": header.SIZE,
        "mask": mask,
        "choice": choice,
        "scales": codec.scale_bytes(num_selected),
        "shares": 4 * num_shares,
        "buffers": 4 * num_float_buffers + 8 * num_integer_buffers,
        "values": _value_bytes(codec, _alike(num_values, num_selected) if sizes_K is None else sizes_K),
    }


def _alike(num_values: int, num_chunks: int) -> NDArray[np.int64]:
    """Sizes of chunks that differ by at most one; without a chunk that of nothing."""
    return np.diff(np.arange(max(1, num_chunks) + 1, dtype=np.int64) * num_values // max(1, num_chunks))


def _value_bytes(codec: Codec, sizes_K: NDArray[np.int64]) -> int:
    """The length of the values, estimated where it depends on them."""
    known = codec.value_bytes(sizes_K)
    if known is not None:
        return known
    values = np.random.default_rng(0).standard_normal(int(sizes_K.sum()), dtype=np.float32)
    return len(codec.pack(values, sizes_K)[0])


def draft(
    layout: Layout,
    vector_P: NDArray[np.float32],
    mask_C: NDArray[np.bool_],
    *,
    round_index: int,
    sender: int,
    num_samples: int,
    buffers: Buffers | None,
    packing: Packing = PLAIN,
    is_change: bool = False,
    shares_K: NDArray[np.float32] | None = None,
    choice_C: NDArray[np.bool_] | None = None,
    with_mask: bool = True,
) -> Draft:
    """The chunks ``mask_C`` of ``vector_P`` as a message that is yet to be written.

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
    return Draft(
        layout,
        codecs.pack_chunks(packing.codec, vector_P, mask_C, layout),
        mask_C,
        Origin(round_index, sender, num_samples),
        buffers,
        compression=packing.compression,
        is_change=is_change,
        shares_K=shares_K,
        choice_C=choice_C,
        with_mask=with_mask,
    )


def _written(drafted: Callable[_Arguments, Draft]) -> Callable[_Arguments, Encoded]:
    def encode(*arguments: _Arguments.args, **named: _Arguments.kwargs) -> Encoded:
        return drafted(*arguments, **named).encoded()

    return encode


encode = _written(draft)
"""As :func:`draft`, written: the message as the first over a connection."""


def decode(
    payload: NDArray[np.uint8],
    layout: Layout,
    expected: Expected,
    num_float_buffers: int,
    num_integer_buffers: int,
    known_C: NDArray[np.bool_] | None = None,
    own: Codec | None = None,
) -> Message:
    """Checks the bytes and takes them apart; float32 values are not copied, so they may lie at any byte.

    Args:
        payload: the bytes.
        layout: the receiver's cut.
        expected: what the receiver knows of the message.
        num_float_buffers: B of the receiver's model.
        num_integer_buffers: I of the receiver's model.
        known_C: which chunks a message without a mask holds.
        own: the receiver's encoding, where it is not built in or has options.

    Raises:
        PayloadError: the bytes are not a message of this layout and origin, or hold values that are not finite.
    """
    head = header.read(payload, layout, expected)
    try:
        parts = take_apart(payload, head, layout, num_float_buffers, num_integer_buffers, own)
        mask_C = parts.mask_C if parts.mask_C is not None else _known(known_C, parts.num_selected)
    except PayloadError:
        header.verify(payload, head, layout, expected, len(payload))  # damage is named before what it does
        raise
    plain = (head.encoding, head.compression) == _PLAIN_KINDS
    values_at = len(payload) - parts.sizes["values"] if plain else len(payload)
    finite = header.verify(payload, head, layout, expected, values_at)
    sizes_K = layout.sizes_C[mask_C]
    raw = _uncompressed(parts, sizes_K, COMPRESSIONS[head.compression])
    values = _unpacked(parts.codec, raw, parts.scales, sizes_K)
    check(finite if plain else header.all_finite(values), "values that are not finite")
    buffers_B = counters_I = None
    if parts.buffers is not None:
        buffers_B = _aligned(parts.buffers[: 4 * num_float_buffers]).view("<f4")
        counters_I = np.frombuffer(parts.buffers[4 * num_float_buffers :].tobytes(), "<i8")
        check(header.all_finite(buffers_B), "buffers that are not finite")
    shares_K = None if parts.shares is None else _aligned(parts.shares).view("<f4")
    if shares_K is not None:
        check(bool(((shares_K > 0) & (shares_K <= 1)).all()), "shares outside (0, 1]")
    return Message(
        mask_C,
        values,
        Flag.CHANGES in head.flags,
        Flag.FROM_FIRST in head.flags,
        shares_K,
        parts.choice_C,
        buffers_B,
        counters_I,
        parts.sizes,
    )


def _known(known_C: NDArray[np.bool_] | None, count: int) -> NDArray[np.bool_]:
    """The chunks that both ends know, if they are as many as the message says."""
    if known_C is None:
        raise PayloadError("has no mask, and which chunks it holds is not known")
    marked = int(np.count_nonzero(known_C))
    check(marked == count, f"{marked} chunks are known, the message says {count}")
    return known_C


def _unpacked(
    codec: Codec, packed: NDArray[np.uint8], scales: NDArray[np.uint8], sizes_K: NDArray[np.int64]
) -> NDArray[np.float32]:
    """The values; bytes that an encoding cannot read are a bad payload, not a fault of the receiver."""
    try:
        return codec.unpack(packed, scales, sizes_K)
    except (ValueError, FedchunkError) as error:
        raise PayloadError(f"values that cannot be decoded: {error}") from error


_PLAIN_KINDS = FLOAT32.wire_id, COMPRESSIONS.index(PLAIN.compression)


def _uncompressed(parts: Parts, sizes_K: NDArray[np.int64], compression: Compression) -> NDArray[np.uint8]:
    """The packed values of chunks of these sizes; of unknown length where only their encoding can tell."""
    expected, packed = parts.codec.value_bytes(sizes_K), parts.values
    if expected is None:
        check(compression == "none", "compressed values whose length is not known")
        return packed
    if compression != "none":
        try:
            raw = pa.decompress(packed, decompressed_size=expected, codec=compression, asbytes=True)
        except (OSError, ValueError, pa.ArrowException) as error:
            raise PayloadError(f"values that do not decompress: {error}") from error
        packed = np.frombuffer(raw, np.uint8)
    check(len(packed) == expected, f"{len(packed)} bytes of values, its header describes {expected}")
    return packed


def _aligned(section: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A short section of float32 values, copied only where it does not lie at a multiple of 4 bytes."""
    if section.ctypes.data % 4:
        section = section.copy()
        section.setflags(write=False)
    return section
