"""Which chunks a message holds, in as few bytes as its number of chunks allows.

    all      nothing: every chunk
    bitmap   a bit per chunk
    number   how many, and which of all choices of so many it is (enumerative code: Cover, IEEE Trans. Inf. Theory 1973)
    runs     how many, and the gaps between them as Golomb-Rice codes (as in STC, arXiv 1903.02891)

The number is the shortest there is for choices that may be any, but takes large integers: it is used while the rarer
of chosen and not chosen chunks, times C, are at most :data:`MOST_ENTRIES`, the runs beyond; the bitmap where it is not
longer. So the length depends on C and K alone, but for runs. Bits are written from the highest down, and the last byte
is filled with zeros. "How many" is K in as many bits as C - 1 has.

Number: the rarer chunks at p_1 < p_2 < ... are the number sum_i binom(p_i, i). Runs: the lower b bits of every gap, one
behind the other, then the rest of every gap as so many zeros and a one; b makes the longest possible code shortest.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from functools import lru_cache
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.chunking.header import check

BITMAP, ALL, NUMBER, RUNS = range(4)

MOST_ENTRIES = 1 << 17
"""Binomial coefficients that a process may keep to read numbers by: about 10 MB of them."""


def write(mask_C: NDArray[np.bool_]) -> tuple[int, bytes]:
    """The code that was taken and its bytes."""
    num_chunks, count = len(mask_C), int(np.count_nonzero(mask_C))
    if count == num_chunks:
        return ALL, b""
    rare, bitmap_bytes = min(count, num_chunks - count), _whole(num_chunks)
    if _is_numbered(num_chunks, rare):
        if _number_bytes(num_chunks, rare) >= bitmap_bytes:
            return BITMAP, np.packbits(mask_C).tobytes()
        return NUMBER, _to_number(_rare_places(mask_C, count), num_chunks, count)
    runs = _to_runs(_rare_places(mask_C, count), num_chunks, count)
    return (RUNS, runs) if len(runs) < bitmap_bytes else (BITMAP, np.packbits(mask_C).tobytes())


def read(code: int, section: NDArray[np.uint8], num_chunks: int) -> tuple[NDArray[np.bool_], int]:
    """The chunks, (C,), and how many bytes said so.

    Args:
        code: one of :data:`BITMAP`, :data:`ALL`, :data:`NUMBER`, :data:`RUNS`.
        section: what begins with the code, and may go on with something else.
        num_chunks: C.

    Raises:
        PayloadError: the bytes are none that :func:`write` gives for so many chunks.
    """
    if code == ALL:
        return np.ones(num_chunks, np.bool_), 0
    if code == BITMAP:
        length = _whole(num_chunks)
        check(len(section) >= length, f"{len(section)} bytes are too short for {num_chunks} chunks")
        bits = np.unpackbits(section[:length])
        check(not np.count_nonzero(bits[num_chunks:]), "marks chunks that do not exist")
        return bits[:num_chunks].view(np.bool_), length
    places, count, length = (_from_number if code == NUMBER else _from_runs)(section, num_chunks)
    few = 2 * count <= num_chunks
    mask_C = np.full(num_chunks, not few)
    mask_C[places] = few
    return mask_C, length


def length(mask_C: NDArray[np.bool_]) -> int:
    """Bytes of what :func:`write` gives, without writing it."""
    num_chunks, count = len(mask_C), int(np.count_nonzero(mask_C))
    if count == num_chunks:
        return 0
    rare = min(count, num_chunks - count)
    if _is_numbered(num_chunks, rare):
        return min(_whole(num_chunks), _number_bytes(num_chunks, rare))
    shift = _shift(num_chunks, rare)
    gaps = np.diff(_rare_places(mask_C, count), prepend=-1) - 1
    run_bits = rare * (shift + 1) + int((gaps >> shift).sum())
    return min(_whole(num_chunks), _whole(_count_bits(num_chunks) + run_bits))


def count_bytes(num_chunks: int) -> int:
    """Bytes of K alone, where both ends know which chunks they are."""
    return _whole(num_chunks.bit_length())


def least_bytes(num_chunks: int, low: int, high: int) -> int:
    """Bytes of the shortest code of ``low`` to ``high`` of C chunks.

    Codes grow up to C / 2 chunks and shrink beyond, but where runs take over from numbers they begin shorter.
    """
    first_runs = MOST_ENTRIES // num_chunks + 1
    counts = {low, high, *(count for count in (first_runs, num_chunks - first_runs) if low < count < high)}
    return min(_least(num_chunks, count, one=low == high) for count in counts)


def most_bytes(num_chunks: int, low: int, high: int) -> int:
    """Bytes of the longest code of ``low`` to ``high`` of C chunks.

    Codes grow up to C / 2 chunks and shrink beyond: there are more choices of the number, no code of runs gets shorter
    in its worst case for one more chunk, and every code has at least as many words as there are choices.
    """
    count = min(max(low, num_chunks // 2), high)
    rare = min(count, num_chunks - count)
    if count == num_chunks:
        return 0
    if _is_numbered(num_chunks, rare):
        return min(_whole(num_chunks), _number_bytes(num_chunks, rare))
    shift = _shift(num_chunks, rare)
    return min(_whole(num_chunks), _whole(_count_bits(num_chunks) + _most_run_bits(num_chunks, rare, shift)))


def _least(num_chunks: int, count: int, *, one: bool) -> int:
    rare = min(count, num_chunks - count)
    if count == num_chunks:
        return 0
    if _is_numbered(num_chunks, rare):
        return min(_whole(num_chunks), _number_bytes(num_chunks, rare))
    each = 1 + _shift(num_chunks, rare) if one else 1  # of several counts, the shift of one may be that of no other
    return min(_whole(num_chunks), _whole(_count_bits(num_chunks) + rare * each))


def _whole(bits: int) -> int:
    """Bytes that hold so many bits."""
    return -(-bits // 8)


def _count_bits(num_chunks: int) -> int:
    """Bits of K, from 0 to C - 1: where it is C nothing is written."""
    return (num_chunks - 1).bit_length()


def _rare_places(mask_C: NDArray[np.bool_], count: int) -> NDArray[np.int64]:
    return np.flatnonzero(mask_C if 2 * count <= len(mask_C) else ~mask_C)


def _read_count(section: NDArray[np.uint8], num_chunks: int) -> int:
    bits = _count_bits(num_chunks)
    length = _whole(bits)
    check(len(section) >= length, "too short for its number of chunks")
    count = int.from_bytes(section[:length].tobytes(), "big") >> 8 * length - bits
    check(count < num_chunks, f"says {count} of {num_chunks} chunks")
    return count


def _is_numbered(num_chunks: int, rare: int) -> bool:
    return num_chunks * rare <= MOST_ENTRIES


@lru_cache(maxsize=1024)
def _choices(num_chunks: int, rare: int) -> int:
    return math.comb(num_chunks, rare)


def _number_bits(num_chunks: int, rare: int) -> int:
    return (_choices(num_chunks, rare) - 1).bit_length()


@lru_cache(maxsize=1024)
def _number_bytes(num_chunks: int, rare: int) -> int:
    return _whole(_count_bits(num_chunks) + _number_bits(num_chunks, rare))


@lru_cache(maxsize=512)
def _column(num_chunks: int, of: int) -> tuple[int, ...]:
    """``binom(p, of)`` of all places p: each is the sum of the column before it up to p."""
    if of == 1:
        return tuple(range(num_chunks))
    return (0, *accumulate(_column(num_chunks, of - 1)[:-1]))


def _to_number(places: NDArray[np.int64], num_chunks: int, count: int) -> bytes:
    number: int = sum(_column(num_chunks, i)[place] for i, place in enumerate(places.tolist(), 1))
    bits = _number_bits(num_chunks, len(places))
    length = _number_bytes(num_chunks, len(places))
    spare = 8 * length - _count_bits(num_chunks) - bits
    return ((count << bits | number) << spare).to_bytes(length, "big")


def _from_number(section: NDArray[np.uint8], num_chunks: int) -> tuple[list[int], int, int]:
    """The places of the rarer chunks, K, and the bytes of the code."""
    count = _read_count(section, num_chunks)
    rare = min(count, num_chunks - count)
    check(_is_numbered(num_chunks, rare), f"a number for {count} of {num_chunks} chunks, which are sent as runs")
    bits, length = _number_bits(num_chunks, rare), _number_bytes(num_chunks, rare)
    check(len(section) >= length, f"{len(section)} bytes are too short for {count} of {num_chunks} chunks")
    whole = int.from_bytes(section[:length].tobytes(), "big")
    spare = 8 * length - _count_bits(num_chunks) - bits
    check(not whole & (1 << spare) - 1, "bits behind the number of its choice")
    number = whole >> spare & (1 << bits) - 1
    check(number < _choices(num_chunks, rare), f"a number above that of all choices of {count} of {num_chunks} chunks")
    places = []
    for i in range(rare, 0, -1):
        column = _column(num_chunks, i)
        places.append(bisect_right(column, number) - 1)
        number -= column[places[-1]]
    return places, count, length


@lru_cache(maxsize=1024)
def _shift(num_chunks: int, rare: int) -> int:
    """How many bits of a gap are written as they are."""
    return min(range(num_chunks.bit_length()), key=lambda shift: _most_run_bits(num_chunks, rare, shift))


def _most_run_bits(num_chunks: int, rare: int, shift: int) -> int:
    """All gaps together are C - rare chunks: so many times does 2^shift go into them at most."""
    return rare * (shift + 1) + (num_chunks - rare >> shift)


def _to_runs(places: NDArray[np.int64], num_chunks: int, count: int) -> bytes:
    shift, head = _shift(num_chunks, len(places)), _count_bits(num_chunks)
    gaps = np.diff(places, prepend=-1) - 1
    ends = np.cumsum((gaps >> shift) + 1) - 1
    low = head + shift * len(places)
    bits = np.zeros(low + int(ends[-1]) + 1, np.uint8)
    bits[:head] = count >> np.arange(head - 1, -1, -1) & 1
    bits[head:low] = (gaps[:, None] >> np.arange(shift - 1, -1, -1) & 1).ravel()
    bits[low + ends] = 1
    return np.packbits(bits).tobytes()


def _from_runs(section: NDArray[np.uint8], num_chunks: int) -> tuple[NDArray[np.int64], int, int]:
    """The places of the rarer chunks, K, and the bytes of the code."""
    count = _read_count(section, num_chunks)
    rare = min(count, num_chunks - count)
    check(not _is_numbered(num_chunks, rare), f"runs for {count} of {num_chunks} chunks, which are sent as a number")
    shift, head = _shift(num_chunks, rare), _count_bits(num_chunks)
    low = head + shift * rare
    bits = np.unpackbits(section[: _whole(head + _most_run_bits(num_chunks, rare, shift))])
    ends = np.flatnonzero(bits[low:])[:rare]
    check(len(ends) == rare, f"ends before the last of {count} of {num_chunks} chunks")
    stop = low + int(ends[-1]) + 1
    check(not np.count_nonzero(bits[stop : 8 * _whole(stop)]), "bits behind the last of its runs")
    lower = bits[head:low].reshape(rare, shift).astype(np.int64) @ (1 << np.arange(shift - 1, -1, -1))
    gaps = (np.diff(ends, prepend=-1) - 1 << shift) + lower
    places = np.cumsum(gaps + 1) - 1
    check(int(places[-1]) < num_chunks, "marks chunks that do not exist")
    return places, count, _whole(stop)
