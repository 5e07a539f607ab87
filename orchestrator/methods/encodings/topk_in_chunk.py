"""The largest few values of each chunk, 2 bits each, their places, and a scale for each chunk (SparseLoCo)."""

from __future__ import annotations

from fedchunk.orchestrator.chunking.codecs import BUILT_IN, Codec
from fedchunk.orchestrator.chunking.codecs.top_k import TopK
from fedchunk.orchestrator.settings.option_types import PositiveShare

LEVELS = True
"""Values are rounded to few levels: without a residual that is lost each round."""


def topk_in_chunk(share: PositiveShare = 0.125) -> Codec:
    """The codec. ``share`` of each chunk's values travels, one at least."""
    return TopK(BUILT_IN["topk_in_chunk"].wire_id, share)
