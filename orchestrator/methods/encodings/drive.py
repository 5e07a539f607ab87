"""1 bit a value after a random rotation, and a scale for each chunk; best for chunks of 2^n values (DRIVE)."""

from __future__ import annotations

from fedchunk.orchestrator.chunking.codecs import BUILT_IN, Codec

LEVELS = True
"""Values are rounded to few levels: without a residual that is lost each round."""


def drive() -> Codec:
    """The codec."""
    return BUILT_IN["drive"]
