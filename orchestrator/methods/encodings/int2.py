"""3 levels and the largest value for each chunk, a quarter of a byte a value; mostly zeros, unlike ternary."""

from __future__ import annotations

from fedchunk.orchestrator.chunking.codecs import BUILT_IN, Codec

LEVELS = True
"""Values are rounded to few levels: without a residual that is lost each round."""


def int2() -> Codec:
    """The codec."""
    return BUILT_IN["int2"]
