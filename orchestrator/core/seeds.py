"""Randomness from (seed, purpose, round, client) alone. There is no global random state to save or to lose.

A generator can be made again at any time in any process, so a repeated client-round draws the same numbers, any
actor may do it, and two seeds share nothing.
"""

from __future__ import annotations

import zlib

import numpy as np


def generator(seed: int, purpose: str, round_index: int = 0, client_id: int = 0) -> np.random.Generator:
    """An independent generator for one purpose of one client in one round.

    Args:
        seed: ``random_seed`` of the experiment, 0 or more.
        purpose: what the numbers are for ("batches", "partition", ...); another purpose, other numbers.
        round_index: the round, 0 for what belongs to no round.
        client_id: the client, 0 for what belongs to no client.

    Example:
        >>> generator(7, "batches", 1, 2).integers(100) == generator(7, "batches", 1, 2).integers(100)
        np.True_
    """
    words = seed, zlib.crc32(purpose.encode()), round_index, client_id
    # Numpy takes plain numbers apart into just these words, each by itself: given them it takes a third less time.
    entropy = np.array(words, np.uint32) if max(words) < 1 << 32 else words
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy)))


def torch_seed(seed: int, purpose: str, round_index: int = 0, client_id: int = 0) -> int:
    """A 63-bit number for ``torch.Generator.manual_seed``, drawn as :func:`generator` draws."""
    return int(generator(seed, purpose, round_index, client_id).integers(2**63, dtype=np.uint64))
