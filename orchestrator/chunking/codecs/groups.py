"""Chunks of equal size as the rows of one matrix, so that they are handled at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Group:
    """The N chunks of one size among K."""

    size: int
    chunks_N: NDArray[np.int64]
    """Which they are."""
    places_NS: NDArray[np.int64]
    """Where their values lie among those of all chunks."""


def by_size(sizes_K: NDArray[np.int64]) -> Iterator[Group]:
    """The chunks, the smallest first, and in their order among those of one size."""
    starts_K = np.cumsum(sizes_K) - sizes_K
    for size in np.unique(sizes_K).tolist():
        chunks_N = np.flatnonzero(sizes_K == size)
        yield Group(size, chunks_N, starts_K[chunks_N, None] + np.arange(size))


def counts_by_size(sizes_K: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Each size and how many chunks have it, the smallest first."""
    sizes, counts = np.unique(sizes_K, return_counts=True)
    return list(zip(sizes.tolist(), counts.tolist(), strict=True))
