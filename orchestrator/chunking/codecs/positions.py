"""Which k of n places are taken, in a number of bits that n and k alone decide.

There are C(n, k) such sets. Where that fits 63 bits a set is its number among them (the combinatorial number system,
Knuth, The Art of Computer Programming, 7.2.1.3; Cover 1973, "Enumerative source coding"): no code of one length is
shorter. Larger sets are coded as Elias and Fano do (Elias 1974, "Efficient storage and retrieval by content and
address of static files"): the lower bits of each place as they are, the upper ones in unary, ``2 + log2(n / k)`` bits a
place at most. Of more than half of the places those are coded that are not taken.
"""

from __future__ import annotations

from functools import lru_cache
from math import comb

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.chunking.codecs.bits import from_bits, to_bits

LARGEST_RANK = 2**63 - 1


def position_bits(size: int, count: int) -> int:
    """Bits of ``count`` places among ``size``.

    Example:
        >>> position_bits(64, 8), position_bits(4096, 64), position_bits(5, 5)
        (33, 511, 0)
    """
    few = min(count, size - count)
    sets = _num_sets(size, few)
    if sets is not None:
        return (sets - 1).bit_length()
    return few * _low_bits(size, few) + _unary_bits(size, few)


def encode_positions(places_NK: NDArray[np.int64], size: int) -> NDArray[np.uint8]:
    """The places of N sets, ascending in each row, as bits: (N, position_bits)."""
    if 2 * places_NK.shape[1] > size:
        places_NK = _others(places_NK, size)
    num_sets, few = places_NK.shape
    if _num_sets(size, few) is not None:
        ranks_N = _binomials(size, few)[places_NK, np.arange(1, few + 1)].sum(axis=1, dtype=np.int64)
        return to_bits(ranks_N.astype(np.uint64), position_bits(size, few))
    low = _low_bits(size, few)
    unary = np.zeros((num_sets, _unary_bits(size, few)), np.uint8)
    np.put_along_axis(unary, (places_NK >> low) + np.arange(few), np.uint8(1), axis=1)
    return np.hstack([to_bits(places_NK.astype(np.uint64), low).reshape(num_sets, -1), unary])


def decode_positions(bits_NB: NDArray[np.uint8], size: int, count: int) -> NDArray[np.int64]:
    """Undoes :func:`encode_positions`. Raises ValueError: bits that stand for no set."""
    few = min(count, size - count)
    sets = _num_sets(size, few)
    places_NK = _from_unary(bits_NB, size, few) if sets is None else _unranked(bits_NB, size, few, sets)
    return places_NK if few == count else _others(places_NK, size)


def _num_sets(size: int, few: int) -> int | None:
    """C(size, few), few <= size / 2; None where that does not fit. Of large numbers it is not worked out."""
    sets = 1
    for taken in range(few):
        sets = sets * (size - taken) // (taken + 1)
        if sets > LARGEST_RANK:
            return None
    return sets


def _unranked(bits_NB: NDArray[np.uint8], size: int, few: int, sets: int) -> NDArray[np.int64]:
    """The sets of these numbers: the largest place first, each the largest that still fits into what is left."""
    ranks_N = from_bits(bits_NB)
    if ranks_N.max(initial=0) >= sets:
        raise ValueError("a set of places that does not exist")
    table, left_N = _binomials(size, few), ranks_N.astype(np.int64)
    places_NK = np.empty((len(ranks_N), few), np.int64)
    for k in range(few, 0, -1):
        places_NK[:, k - 1] = np.searchsorted(table[:, k], left_N, side="right") - 1
        left_N -= table[places_NK[:, k - 1], k]
    return places_NK


def _from_unary(bits_NB: NDArray[np.uint8], size: int, few: int) -> NDArray[np.int64]:
    low = _low_bits(size, few)
    unary = bits_NB[:, few * low :]
    if (unary.sum(axis=1, dtype=np.int64) != few).any():
        raise ValueError("another number of places than was agreed")
    high_NK = np.nonzero(unary)[1].reshape(-1, few) - np.arange(few)
    low_NK = from_bits(bits_NB[:, : few * low].reshape(-1, few, low)).astype(np.int64)
    places_NK = (high_NK << low) | low_NK
    if places_NK.max(initial=0) >= size or (np.diff(places_NK, axis=1) <= 0).any():
        raise ValueError("places that do not ascend, or beyond the chunk")
    return places_NK


def _low_bits(size: int, few: int) -> int:
    """floor(log2(size / few))."""
    return (size // few).bit_length() - 1


def _unary_bits(size: int, few: int) -> int:
    """A one for each place, and zeros up to the upper part of the last."""
    return few + (size - 1 >> _low_bits(size, few))


def _others(places_NK: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """The places that are not in each set, ascending."""
    is_other = np.ones((len(places_NK), size), np.bool_)
    np.put_along_axis(is_other, places_NK, False, axis=1)
    return np.nonzero(is_other)[1].reshape(len(places_NK), -1)


@lru_cache(maxsize=16)
def _binomials(size: int, few: int) -> NDArray[np.int64]:
    """C(n, k) for n below ``size`` and k up to ``few``, (size, few + 1); cut off where no set has use for it."""
    return np.array([[min(comb(n, k), LARGEST_RANK) for k in range(few + 1)] for n in range(size)], np.int64)
