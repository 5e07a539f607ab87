"""Levels drawn so that their mean is the value, and a scale for each chunk (QSGD, FedPAQ)."""

from __future__ import annotations

from fedchunk.orchestrator.chunking.codecs import BUILT_IN, Codec
from fedchunk.orchestrator.chunking.codecs.qsgd import Qsgd
from fedchunk.orchestrator.settings.option_types import LevelCount

LEVELS = True
"""Values are rounded to few levels: without a residual that is lost each round."""


def qsgd(levels: LevelCount = 7, by_largest: bool = True) -> Codec:
    """The codec: ``levels`` on each side of 0, as shares of the chunk's largest value, or of its 2-norm."""
    return Qsgd(BUILT_IN["qsgd"].wire_id, levels, by_largest)
