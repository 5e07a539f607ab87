"""Zero or plus or minus one size for each chunk, a fifth of a byte a value (Ternary Weight Networks)."""

from __future__ import annotations

from fedchunk.orchestrator.chunking.codecs import BUILT_IN, Codec

LEVELS = True
"""Values are rounded to few levels: without a residual that is lost each round."""


def ternary() -> Codec:
    """The codec."""
    return BUILT_IN["ternary"]
