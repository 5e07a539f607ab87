"""255 levels and a scale for each chunk, 1 byte a value."""

from __future__ import annotations

from fedchunk.orchestrator.chunking.codecs import BUILT_IN, Codec

LEVELS = True
"""Values are rounded to few levels: without a residual that is lost each round."""


def int8() -> Codec:
    """The codec."""
    return BUILT_IN["int8"]
