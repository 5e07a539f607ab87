"""Masks in few bytes: what is read is what was written, lengths are known from the numbers, and nonsense is refused."""

import math

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from fedchunk.orchestrator.chunking import choice_code
from fedchunk.orchestrator.chunking.choice_code import ALL, BITMAP, NUMBER, RUNS
from fedchunk.orchestrator.core.errors import PayloadError


def mask_of(num_chunks, places):
    mask_C = np.zeros(num_chunks, np.bool_)
    mask_C[list(places)] = True
    return mask_C


@st.composite
def masks(draw):
    num_chunks = draw(st.integers(1, 40) | st.sampled_from([300, 964, 2000, 30_000]))
    count = draw(st.integers(0, num_chunks) | st.sampled_from([0, 1, num_chunks - 1, num_chunks, num_chunks // 2]))
    count = max(0, count)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    first = draw(st.booleans())  # as clustered as can be
    return mask_of(num_chunks, range(count) if first else rng.choice(num_chunks, count, replace=False))


def taken(section):
    return np.frombuffer(section, np.uint8)


@settings(max_examples=200, deadline=None)
@given(masks(), st.binary(max_size=9))
def test_what_is_read_is_what_was_written_whatever_follows(mask_C, behind):
    code, section = choice_code.write(mask_C)
    found_C, length = choice_code.read(code, taken(section + behind), len(mask_C))
    assert length == len(section)
    assert np.array_equal(found_C, mask_C)


@settings(max_examples=300, deadline=None)
@given(masks(), st.integers(0, 10_000), st.integers(0, 10_000))
def test_lengths_lie_within_what_the_numbers_say(mask_C, fewer, more):
    count, num_chunks = int(mask_C.sum()), len(mask_C)
    code, section = choice_code.write(mask_C)
    low, high = max(0, count - fewer), min(num_chunks, count + more)
    for ends in ((count, count), (low, high)):
        assert choice_code.least_bytes(num_chunks, *ends) <= len(section) <= choice_code.most_bytes(num_chunks, *ends)
    assert len(section) <= -(-num_chunks // 8)
    if code != RUNS and min(count, num_chunks - count) * num_chunks <= choice_code.MOST_ENTRIES:
        assert choice_code.least_bytes(num_chunks, count, count) == choice_code.most_bytes(num_chunks, count, count)


@pytest.mark.parametrize(("low", "high"), [(135, 415), (549, 829)])
def test_runs_may_be_shorter_than_the_numbers_of_fewer_chunks(low, high):
    """Of 964 chunks 135 have a number and 136 are runs: here the rarer are one at the start, which is short."""
    at = np.arange(964)
    masks = [at < count if count <= 482 else at >= 964 - count for count in range(low, high + 1)]
    lengths = list(map(choice_code.length, masks))
    assert choice_code.least_bytes(964, low, high) <= min(lengths)
    assert min(lengths) < min(choice_code.least_bytes(964, count, count) for count in (low, high))


@pytest.mark.parametrize("num_chunks", [1, 2, 9, 40])
def test_every_choice_has_its_own_code(num_chunks):
    places = range(min(num_chunks, 9))
    choices = [mask_of(num_chunks, [p for p in places if bits >> p & 1]) for bits in range(2 ** len(places))]
    written = {choice_code.write(mask_C) for mask_C in choices}
    assert len(written) == len(choices)


@pytest.mark.parametrize(
    ("num_chunks", "places", "code", "bits"),
    [
        (10, range(10), ALL, ""),
        (10, [0, 3, 6, 9], BITMAP, "1001001001"),
        (4, [1], BITMAP, "0100"),
        # K = 1 in 4 bits, place 6 of 10 in 4 bits
        (10, [6], NUMBER, "0001" + "0110"),
        # K = 2 in 5 bits; binom(3, 1) + binom(20, 2) = 193 of binom(32, 2) = 496 choices, in 9 bits
        (32, [3, 20], NUMBER, "00010" + "011000001"),
        # the 30 chunks without 3 and 20: the same number
        (32, sorted({*range(32)} - {3, 20}), NUMBER, "11110" + "011000001"),
        (964, [], NUMBER, "0000000000"),
        (1, [], NUMBER, ""),
    ],
)
def test_codes_by_hand(num_chunks, places, code, bits):
    length = -(-len(bits) // 8)
    expected = int(bits.ljust(8 * length, "0") or "0", 2).to_bytes(length, "big")
    assert choice_code.write(mask_of(num_chunks, places)) == (code, expected)


def test_runs_by_hand():
    """4 of 40,000 chunks: gaps of 0, 9,999, 29,000, 0. K in 16 bits, the lower 13 bits of each gap, then the rest."""
    places = [0, 10_000, 39_001, 39_002]
    code, section = choice_code.write(mask_of(40_000, places))
    low = "".join(f"{gap % 8192:013b}" for gap in (0, 9_999, 29_000, 0))
    rest = "1" + "01" + "0001" + "1"
    bits = f"{4:016b}" + low + rest
    assert code == RUNS
    assert section == int(bits.ljust(80, "0"), 2).to_bytes(10, "big")


def test_lengths_of_the_numbers_are_those_of_all_choices():
    """6 of 964 chunks: 10 bits for K, and as many as binom(964, 6) choices need; the bitmap has 121 bytes."""
    assert choice_code.most_bytes(964, 6, 6) == -(-(10 + math.ceil(math.log2(math.comb(964, 6)))) // 8) == 8
    assert choice_code.most_bytes(964, 47, 47) == -(-(10 + math.ceil(math.log2(math.comb(964, 47)))) // 8) == 35


def test_runs_come_near_the_entropy():
    rng = np.random.default_rng(0)
    code, section = choice_code.write(mask_of(60_000, rng.choice(60_000, 3_000, replace=False)))
    share = 0.05
    entropy = -60_000 * (share * math.log2(share) + (1 - share) * math.log2(1 - share)) / 8
    assert code == RUNS
    assert entropy < len(section) < 1.03 * entropy


@settings(max_examples=500, deadline=None)
@given(
    st.binary(max_size=60), st.sampled_from([1, 2, 9, 40, 300, 964, 60_000]), st.sampled_from([BITMAP, NUMBER, RUNS])
)
def test_arbitrary_bytes_are_read_or_refused(noise, num_chunks, code):
    try:
        mask_C, length = choice_code.read(code, taken(noise), num_chunks)
    except PayloadError:
        return
    assert mask_C.shape == (num_chunks,)
    assert length <= len(noise)
    if code == NUMBER:  # nothing else is read as the same choice
        assert choice_code.write(mask_C) == (code, noise[:length]) or length >= -(-num_chunks // 8)


@settings(max_examples=100, deadline=None)
@given(st.integers(20, 3_000), st.data())
def test_damaged_runs_are_read_or_refused(count, data):
    mask_C = mask_of(60_000, np.random.default_rng(count).choice(60_000, count, replace=False))
    code, section = choice_code.write(mask_C)
    damaged = taken(section).copy()
    bit = data.draw(st.integers(0, 8 * len(section) - 1))
    damaged[bit // 8] ^= 1 << bit % 8
    try:
        found_C, _ = choice_code.read(code, damaged, 60_000)
    except PayloadError:
        return
    assert not np.array_equal(found_C, mask_C)


def bits_of(text):
    return taken(int(text.ljust(-(-len(text) // 8) * 8, "0"), 2).to_bytes(-(-len(text) // 8), "big"))


@pytest.mark.parametrize(
    ("code", "num_chunks", "section", "reason"),
    [
        (BITMAP, 10, bits_of("1111111111" + "000001"), "marks chunks that do not exist"),
        (BITMAP, 10, bits_of("11111111"), "too short for 10 chunks"),
        (NUMBER, 10, bits_of("1010" + "0000"), "says 10 of 10 chunks"),
        (NUMBER, 10, bits_of("0001" + "1010"), "a number above that of all choices of 1 of 10 chunks"),
        (NUMBER, 32, bits_of("00010" + "011000001" + "01"), "bits behind the number"),
        (NUMBER, 32, bits_of("00010" + "011"), "too short for 2 of 32 chunks"),
        (NUMBER, 964, bits_of("00000001"), "too short for its number of chunks"),
        (NUMBER, 40_000, bits_of(f"{4:016b}" + "0" * 64), "which are sent as runs"),
        (RUNS, 964, bits_of(f"{6:010b}" + "1" * 80), "which are sent as a number"),
        (RUNS, 40_000, bits_of(f"{4:016b}" + "0" * 52 + "111"), "ends before the last of 4"),
        (RUNS, 40_000, bits_of(f"{4:016b}" + "0" * 52 + "01111" + "0000001"), "bits behind the last of its runs"),
        (RUNS, 40_000, bits_of(f"{4:016b}" + "1" * 52 + "01" + "111"), "marks chunks that do not exist"),
    ],
)
def test_what_nobody_writes_is_refused(code, num_chunks, section, reason):
    with pytest.raises(PayloadError, match=reason):
        choice_code.read(code, section, num_chunks)
