"""A message whose bytes are counted, and written only where somebody reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.chunking import choice_code, header, scale_code
from fedchunk.orchestrator.chunking.codecs import FIRST_OWN_ID, Packed
from fedchunk.orchestrator.chunking.header import Flag, Header, Origin
from fedchunk.orchestrator.chunking.layout import Layout
from fedchunk.orchestrator.chunking.sections import COMPRESSIONS, Compression

Buffers = tuple[NDArray[np.float32], NDArray[np.int64]]
"""Floating-point and integer buffers."""


@dataclass(frozen=True)
class Encoded:
    """A message ready to send, as the first over its connection; :meth:`over` makes it a later one."""

    payload: NDArray[np.uint8]
    sizes: dict[str, int]
    """Its bytes by kind."""

    def over(self, *, stands: bool) -> Encoded:
        """The message without what both ends know already, where the connection stands."""
        if not stands:
            return self
        sizes = self.sizes | {"header": header.SIZE}
        return replace(self, payload=self.payload[header.SETUP_SIZE :], sizes=sizes)


@dataclass(frozen=True)
class Draft:
    """Everything that a message says. What it is made of is what :func:`encoding.encode` describes."""

    layout: Layout
    packed: Packed
    mask_C: NDArray[np.bool_]
    origin: Origin
    buffers: Buffers | None
    compression: Compression = "none"
    is_change: bool = False
    from_first: bool = False
    shares_K: NDArray[np.float32] | None = None
    choice_C: NDArray[np.bool_] | None = None
    with_mask: bool = True

    @property
    def seen(self) -> NDArray[np.float32]:
        """The values as the receiver will see them: what a lossy encoding lost is the sender's to keep."""
        return self.packed.seen

    @property
    def lost(self) -> NDArray[np.float32]:
        """What its encoding lost of each value."""
        return self.packed.lost

    @property
    def is_view(self) -> bool:
        """Whether the values are still read from the vector they come from, which must stay as it is."""
        return self.packed.is_view

    @property
    def is_transparent(self) -> bool:
        """Whether a receiver surely sees what the sender does: a user's encoding may do otherwise there."""
        return self.packed.codec.wire_id < FIRST_OWN_ID

    def sizes(self, *, stands: bool) -> dict[str, int]:
        """Its bytes by kind, over a connection that stands or as the first over a new one."""
        return self._sizes if stands else self._sizes | {"header": header.SETUP_SIZE + header.SIZE}

    @cached_property
    def _sizes(self) -> dict[str, int]:
        packed, smaller = self.packed, self._smaller
        num_chunks = len(self.mask_C)
        float_buffers, integer_buffers = self.buffers or ((), ())
        return {
            "header": header.SIZE,
            "mask": choice_code.length(self.mask_C) if self.with_mask else choice_code.count_bytes(num_chunks),
            "choice": 0 if self.choice_C is None else choice_code.length(self.choice_C),
            "scales": len(packed.scales) if smaller is None else packed.coded_scale_bytes,
            "shares": 0 if self.shares_K is None else 4 * len(self.shares_K),
            "buffers": 4 * len(float_buffers) + 8 * len(integer_buffers),
            "values": sum(map(len, packed.parts)) if smaller is None else len(smaller),
        }

    def encoded(self) -> Encoded:
        """The message as the first over a connection."""
        smaller, scales = self._smaller, self.packed.scales
        mask_code, mask = choice_code.write(self.mask_C) if self.with_mask else (0, _count_section(self.mask_C))
        choice_kind, choice = (0, b"") if self.choice_C is None else choice_code.write(self.choice_C)
        sections = {
            "mask": mask,
            "choice": choice,
            "scales": scales if smaller is None else scale_code.write(scales),
            "shares": b"" if self.shares_K is None else self.shares_K.astype("<f4", copy=False),
            "buffers": b"" if self.buffers is None else _buffer_section(*self.buffers),
        }
        # Sums of numbers: enum's own operators take longer than the rest of a small header.
        flags = (
            self.is_change * Flag.CHANGES
            + self.from_first * Flag.FROM_FIRST
            + (self.shares_K is not None) * Flag.SHARES
            + (self.buffers is not None) * Flag.BUFFERS
            + self.with_mask * Flag.MASK
            + (self.choice_C is not None) * Flag.CHOICE
        )
        kinds = self.packed.codec.wire_id, COMPRESSIONS.index("none" if smaller is None else self.compression)
        head = Header(Flag(flags), *kinds, self.origin, mask_code, choice_kind)
        payload, sizes = assemble(head, self.layout, sections, self.packed.parts if smaller is None else [smaller])
        return Encoded(payload, sizes)

    @property
    def _smaller(self) -> NDArray[np.uint8] | None:
        """The values compressed, where that is shorter; of a user's encoding nobody else knows their length."""
        if self.compression == "none" or not self.packed.parts or not self.is_transparent:
            return None
        return self.packed.compressed(self.compression)


def assemble(
    head: Header,
    layout: Layout,
    sections: Mapping[str, NDArray[np.generic] | bytes],
    values: Sequence[NDArray[np.uint8]] | None = None,
) -> tuple[NDArray[np.uint8], dict[str, int]]:
    """Header, sections and values, if any, as one array of bytes, and their sizes. Everything is copied once."""
    parts = {kind: np.frombuffer(section, np.uint8) for kind, section in sections.items()}
    payload = np.concatenate([np.empty(head.size, np.uint8), *parts.values(), *(values or ())])
    sizes = {"header": head.size} | {kind: len(part) for kind, part in parts.items()}
    if values is not None:
        sizes["values"] = sum(map(len, values))
    header.write(payload, head, layout)
    return payload, sizes


def _count_section(mask_C: NDArray[np.bool_]) -> bytes:
    return int(np.count_nonzero(mask_C)).to_bytes(choice_code.count_bytes(len(mask_C)), "big")


def _buffer_section(buffers_B: NDArray[np.float32], counters_I: NDArray[np.int64]) -> bytes:
    return buffers_B.astype("<f4", copy=False).tobytes() + counters_I.astype("<i8", copy=False).tobytes()
