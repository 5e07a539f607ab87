"""Every bit, 4 bytes a value."""

from __future__ import annotations

from fedchunk.orchestrator.chunking.codecs import BUILT_IN, Codec


def float32() -> Codec:
    """The codec."""
    return BUILT_IN["float32"]
