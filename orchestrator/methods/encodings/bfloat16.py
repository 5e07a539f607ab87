"""The upper half of a float32, 2 bytes a value: its range, with 8 bits of precision."""

from __future__ import annotations

from fedchunk.orchestrator.chunking.codecs import BUILT_IN, Codec


def bfloat16() -> Codec:
    """The codec."""
    return BUILT_IN["bfloat16"]
