"""What a sender told in earlier rounds, kept as it was encoded, and how one who was away is told it later.

Both ways give the bits of those who heard every round: the same decoded values are added to each value in the same
order.

    replayed   the old messages, one behind the other
    merged     each chunk's first telling in one message, its second in the next, and so on; chunks that were told so
               often that their values take fewer bytes are left to a message of values
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.chunking.codecs import FIRST_OWN_ID, ByValue, Codec, Packed
from fedchunk.orchestrator.chunking.layout import Layout, ranges

Telling = tuple[NDArray[np.bool_], Packed]
"""The chunks of a message, and their packed values."""


@dataclass(frozen=True)
class Told:
    """The changes that were told in one round, packed, before any compression."""

    round_index: int
    codec: str
    """The encoding and its options: a run that branches off may have another one."""
    mask_C: NDArray[np.bool_]
    values: NDArray[np.uint8]
    scales: NDArray[np.uint8]

    @classmethod
    def of(cls, round_index: int, mask_C: NDArray[np.bool_], packed: Packed) -> Told:
        """What a message of that round held."""
        return cls(round_index, _named(packed.codec), mask_C, packed.joined.copy(), packed.scales)

    @property
    def num_bytes(self) -> int:
        """Bytes of values and scales."""
        return len(self.values) + len(self.scales)

    def packed(self, codec: Codec, layout: Layout) -> Packed:
        """The packed values again, with what was worked out of them before."""
        if codec not in self._again:
            self._again[codec] = Packed(codec, (self.values,), self.scales, layout.sizes_C[self.mask_C])
        return self._again[codec]

    def words(self, codec: ByValue, layout: Layout) -> NDArray[np.unsignedinteger[Any]]:
        """What the encoding made of each value, as a number."""
        if codec not in self._words:
            self._words[codec] = codec.words(self.values, layout.num_values(self.mask_C))
        return self._words[codec]

    @cached_property
    def _again(self) -> dict[Codec, Packed]:
        return {}

    @cached_property
    def _words(self) -> dict[ByValue, NDArray[np.unsignedinteger[Any]]]:
        return {}


def kept(history: tuple[Told, ...], newest: Told, most_bytes: int) -> tuple[Told, ...]:
    """The history with one more round, without those from which on it takes ``most_bytes`` or more to tell it all."""
    rounds = (*history, newest)
    total = newest.num_bytes
    for at in range(len(rounds) - 2, -1, -1):
        total += rounds[at].num_bytes
        if total >= most_bytes:
            return rounds[at + 1 :]
    return rounds


def since(history: tuple[Told, ...], known_round: int, codec: Codec) -> tuple[Told, ...] | None:
    """What was told after ``known_round``, oldest first.

    None where the history does not reach back so far, or was encoded in another way than ``codec`` does.
    """
    if not history or history[0].round_index > known_round + 1:
        return None
    missed, named = tuple(told for told in history if told.round_index > known_round), _named(codec)
    return missed if all(told.codec == named for told in missed) else None


def tellings_C(missed: Sequence[Told], num_chunks: int) -> NDArray[np.int64]:
    """How often each chunk was told."""
    return sum((told.mask_C.astype(np.int64) for told in missed), np.zeros(num_chunks, np.int64))


def often(missed: Sequence[Told], layout: Layout) -> NDArray[np.bool_]:
    """The chunks that were told so often that float32 values of them, 4 bytes each, take fewer bytes."""
    values = sum(layout.num_values(told.mask_C) for told in missed)
    if not values:
        return np.zeros(layout.num_chunks, np.bool_)
    bytes_a_value = sum(told.num_bytes for told in missed) / values
    marked_C: NDArray[np.bool_] = tellings_C(missed, layout.num_chunks) * bytes_a_value > 4
    return marked_C


def replayed(missed: Sequence[Told]) -> list[Told]:
    """The rounds whose messages are to be sent again: those that told something."""
    return [told for told in missed if told.mask_C.any()]


def merged(missed: Sequence[Told], without_C: NDArray[np.bool_], codec: Codec, layout: Layout) -> list[Telling] | None:
    """Each chunk's n-th telling in the n-th message, without the chunks ``without_C``.

    Returns None where the encoding does not give the same values when it encodes what it decoded: those that are
    random, or have one scale for all chunks of a message.
    """
    masks_RC = np.array([told.mask_C for told in missed])
    rounds, chunks = np.nonzero(masks_RC)
    numbers = np.cumsum(masks_RC, axis=0)[rounds, chunks]  # which telling of its chunk each is, from 1
    sizes = layout.sizes_C[chunks]
    starts = np.cumsum(sizes) - sizes
    order = np.argsort(numbers * layout.num_chunks + chunks)
    order = order[~without_C[chunks[order]]]
    if not len(order):
        return []
    borders = [0, *(np.flatnonzero(np.diff(numbers[order])) + 1).tolist(), len(order)]
    ends = np.concatenate([[0], np.cumsum(sizes[order])])
    at = ranges(starts[order], sizes[order]), order
    if isinstance(codec, ByValue):
        pack = _moved(missed, codec, layout, *at)
    else:
        pack = _packed_again(missed, codec, layout, *at)
    layers: list[Telling] = []
    for first, last in pairwise(borders):
        here = order[first:last]
        layer = pack(slice(int(ends[first]), int(ends[last])), slice(first, last), sizes[here])
        if layer is None:
            return None
        layer_C = np.zeros(layout.num_chunks, np.bool_)
        layer_C[chunks[here]] = True
        layers.append((layer_C, layer))
    return layers


_Packer = Callable[[slice, slice, NDArray[np.int64]], Packed | None]
"""Packs some of the tellings in their new order: which values these are, which tellings, and how long each is."""


def _moved(
    missed: Sequence[Told], codec: ByValue, layout: Layout, places_V: NDArray[np.int64], places_K: NDArray[np.int64]
) -> _Packer:
    """Puts what was packed then in its new order."""
    words_V = np.concatenate([told.words(codec, layout) for told in missed])[places_V]
    scales = np.concatenate([told.scales for told in missed])
    scales_K = scales.reshape(-1, codec.scale_bytes(1))[places_K] if len(scales) else None

    def pack(values: slice, tellings: slice, sizes_K: NDArray[np.int64]) -> Packed:
        own = scales[:0] if scales_K is None else scales_K[tellings].ravel()
        return Packed(codec, (codec.joined(words_V[values]),), own, sizes_K)

    return pack


def _packed_again(
    missed: Sequence[Told], codec: Codec, layout: Layout, places_V: NDArray[np.int64], places_K: NDArray[np.int64]
) -> _Packer:
    """Encodes what was decoded then; gives None where that is not the same again."""
    values_V = np.concatenate([told.packed(codec, layout).seen for told in missed])[places_V]

    def pack(values: slice, tellings: slice, sizes_K: NDArray[np.int64]) -> Packed | None:
        layer_V = values_V[values]
        packed_values, scales = codec.pack(layer_V, sizes_K)
        packed = Packed(codec, (packed_values,), scales, sizes_K)
        return packed if np.array_equal(packed.seen.view(np.uint32), layer_V.view(np.uint32)) else None

    return pack


def _named(codec: Codec) -> str:
    """A user's encoding has no options that would be known here, and is the same one in the whole run."""
    return repr(codec) if codec.wire_id < FIRST_OWN_ID else str(codec.wire_id)
