"""What chunks cost at least and at most, where it is not known yet which of them go."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.chunking.codecs import Codec
from fedchunk.orchestrator.chunking.layout import Layout

_WHOLE_BYTES = 8
"""So many chunks of a size have as many bytes as one has bits: nothing is rounded."""


@lru_cache(maxsize=16)
def sizes_by_cost(layout: Layout, codec: Codec) -> NDArray[np.int64]:
    """Values of each chunk, (C,), those first whose values take the fewest bits; of equal cost the shorter.

    The first K of them cost what K chunks cost at least, the last K what they cost at most. Bits need not grow with
    values: an encoding may fill chunks up, or keep a rounded share of them. Of one whose length depends on what it
    encodes the values count.
    """
    sizes, counts = np.unique(layout.sizes_C, return_counts=True)
    costs = np.array([codec.value_bytes(np.full(_WHOLE_BYTES, size)) or 0 for size in sizes.tolist()])
    order = np.lexsort((sizes, costs))
    ordered_C = np.repeat(sizes[order], counts[order])
    ordered_C.setflags(write=False)
    return ordered_C
