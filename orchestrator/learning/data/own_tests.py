"""A part of each client's samples that does not train: its own model is measured on it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.core.seeds import generator

Parts = tuple[NDArray[np.int64], ...]


def own_tests(parts: Sequence[NDArray[np.int64]], share: float, seed: int) -> tuple[Parts, Parts]:
    """Of each client's samples those that train, and those that are kept, both ascending; no sample is in both.

    Kept are ``share`` of a client's samples, rounded, at least one of two or more, and never all: a client with one
    sample trains on it.

    Args:
        parts: the samples of each client, ascending.
        share: ``client_test_share``, from 0 and below 1; 0 keeps none.
        seed: ``random_seed``.
    """
    if not share:
        return tuple(parts), tuple(part[:0] for part in parts)
    split = [_split(part, share, generator(seed, "own test", 0, client)) for client, part in enumerate(parts)]
    return tuple(trained for trained, _ in split), tuple(kept for _, kept in split)


def _split(
    part: NDArray[np.int64], share: float, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    taken = min(max(1, round(share * len(part))), len(part) - 1)
    is_kept = np.zeros(len(part), bool)
    is_kept[rng.permutation(len(part))[:taken]] = True
    return part[~is_kept], part[is_kept]
