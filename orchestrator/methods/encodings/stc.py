"""1 bit a value and one mean size for the whole message, for chunks of one value (Sparse Ternary Compression)."""

from __future__ import annotations

from fedchunk.orchestrator.chunking.codecs import BUILT_IN, Codec

LEVELS = True
"""Values are rounded to few levels: without a residual that is lost each round."""


def stc() -> Codec:
    """The codec."""
    return BUILT_IN["stc"]
