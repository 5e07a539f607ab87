"""Half precision, 2 bytes a value; values up to 65,504."""

from __future__ import annotations

from fedchunk.orchestrator.chunking.codecs import BUILT_IN, Codec


def float16() -> Codec:
    """The codec."""
    return BUILT_IN["float16"]
