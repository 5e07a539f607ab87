"""Long axes of figures in bins."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MAX_BINS = 250
"""Cells along an axis of a figure: about what its pixels can show."""


def bins(count: int) -> NDArray[np.intp]:
    """Borders of at most ``MAX_BINS`` nearly equal bins over ``count`` things; first 0, last ``count``."""
    return np.unique(np.linspace(0, count, min(count, MAX_BINS) + 1).astype(np.intp))


def bin_of_each(edges: NDArray[np.intp]) -> NDArray[np.intp]:
    """The bin that each thing lies in, from the borders."""
    return np.repeat(np.arange(len(edges) - 1), np.diff(edges))
