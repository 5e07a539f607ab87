"""The parts in which a test set is evaluated. Apart from the evaluation itself, because it needs no torch."""

from __future__ import annotations

SHARD_BATCHES = 16
"""Batches in a shard: about 2,000 samples at the default batch size, so that a call's overhead does not count."""


def shards(num_samples: int, batch_size: int, shard_batches: int = SHARD_BATCHES) -> tuple[slice, ...]:
    """Slices of the test set that are evaluated on their own and added in this order.

    They depend on the settings only, never on the number of actors: so do the bits of the sum.
    """
    length = batch_size * shard_batches
    return tuple(slice(start, min(start + length, num_samples)) for start in range(0, num_samples, length))
