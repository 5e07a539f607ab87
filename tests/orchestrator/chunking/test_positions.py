"""Sets of places as bits: as few as there are sets, and back again."""

from itertools import combinations, islice
from math import comb, log2

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from fedchunk.orchestrator.chunking.codecs.positions import decode_positions, encode_positions, position_bits


@pytest.mark.parametrize(("size", "count"), [(1, 1), (5, 0), (6, 1), (6, 3), (7, 5), (9, 4), (9, 9)])
def test_every_small_set_has_its_own_number_and_no_bit_too_many(size, count):
    places_NK = np.array(list(combinations(range(size), count)), np.int64).reshape(comb(size, count), count)
    bits = encode_positions(places_NK, size)
    assert bits.shape == (comb(size, count), position_bits(size, count))
    assert len({row.tobytes() for row in bits}) == len(places_NK)
    assert 2 ** position_bits(size, count) < 2 * comb(size, count)
    assert np.array_equal(decode_positions(bits, size, count), places_NK)


@given(st.integers(1, 400), st.data())
def test_sets_come_back_whatever_their_size(size, data):
    count = data.draw(st.integers(0, size))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    places_NK = np.array([np.sort(rng.choice(size, count, replace=False)) for _ in range(3)], np.int64).reshape(
        3, count
    )
    bits = encode_positions(places_NK, size)
    assert bits.shape == (3, position_bits(size, count))
    assert np.array_equal(decode_positions(bits, size, count), places_NK)


@pytest.mark.parametrize(
    ("size", "count"), [(64, 8), (100, 99), (100, 50), (4096, 64), (4096, 512), (1 << 20, 1 << 16)]
)
def test_bits_are_few(size, count):
    few = min(count, size - count)
    assert position_bits(size, count) <= min(size + few, few * (2 + log2(size / few)))
    if size == 64:
        assert position_bits(size, count) == 33  # C(64, 8) is 4.4e9
    if (size, count) == (4096, 64):
        assert position_bits(size, count) == 511  # against 768 of SparseLoCo's twelve bits each


@given(st.sampled_from([(5, 2), (6, 4), (7, 1), (70, 33), (70, 40)]), st.data())
def test_bits_of_no_set_are_refused_and_others_are_sets(shape, data):
    size, count = shape
    width = position_bits(size, count)
    bits = np.array([data.draw(st.lists(st.integers(0, 1), min_size=width, max_size=width))], np.uint8)
    try:
        places_NK = decode_positions(bits, size, count)
    except ValueError:
        return
    assert (np.diff(places_NK) > 0).all()
    assert encode_positions(places_NK, size).tolist() == bits.tolist()


@pytest.mark.parametrize(("size", "count"), [(5, 2), (70, 33)])
def test_the_last_bits_mean_nothing(size, count):
    bits = np.ones((1, position_bits(size, count)), np.uint8)
    with pytest.raises(ValueError, match=r"a set of places|number of places"):
        decode_positions(bits, size, count)


def test_numbers_of_sets_are_in_the_order_of_their_largest_places():
    """The combinatorial number system, by counting: sets ordered by their largest place, then the next."""
    ordered = sorted(combinations(range(8), 3), key=lambda places: places[::-1])
    bits = encode_positions(np.array(list(islice(ordered, 56)), np.int64), 8)
    assert [int("".join(map(str, row)), 2) for row in bits.tolist()] == list(range(56))
