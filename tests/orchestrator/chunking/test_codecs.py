"""Packed values: as small as they say, as close as they can be, and garbage is refused."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp

from fedchunk.orchestrator.chunking.codecs import BUILT_IN, codec_of
from fedchunk.orchestrator.core.errors import EncodingError

VALUES = st.floats(-60_000, 60_000, width=32)
EXACT = ("float32", "float16", "bfloat16")
LEVELS = {"int8": 127, "int4": 7, "int2": 1}
SCALED = tuple(name for name in BUILT_IN if name not in EXACT)


@st.composite
def chunked(draw):
    sizes_K = np.array(draw(st.lists(st.integers(1, 20), max_size=8)), np.int64)
    return draw(hnp.arrays(np.float32, int(sizes_K.sum()), elements=VALUES)), sizes_K


def seen_by_receiver(name, values_V, sizes_K):
    codec = BUILT_IN[name]
    return codec.unpack(*codec.pack(values_V, sizes_K), sizes_K)


@pytest.mark.parametrize("name", BUILT_IN)
@given(chunked())
def test_sizes_are_those_announced_and_values_are_finite(name, chunks):
    values_V, sizes_K = chunks
    codec = BUILT_IN[name]
    packed, scales = codec.pack(values_V, sizes_K)
    assert packed.dtype == scales.dtype == np.uint8
    assert len(packed) == codec.value_bytes(sizes_K)
    assert len(scales) == codec.scale_bytes(len(sizes_K))
    seen_V = codec.unpack(packed, scales, sizes_K)
    assert seen_V.dtype == np.float32
    assert seen_V.shape == values_V.shape
    assert np.isfinite(seen_V).all()
    again = codec.pack(values_V.copy(), sizes_K.copy())
    assert [part.tobytes() for part in again] == [packed.tobytes(), scales.tobytes()]


@pytest.mark.parametrize("name", EXACT)
@given(chunked())
def test_nothing_is_lost_twice(name, chunks):
    values_V, sizes_K = chunks
    seen_V = seen_by_receiver(name, values_V, sizes_K)
    assert seen_by_receiver(name, seen_V, sizes_K).tobytes() == seen_V.tobytes()


@pytest.mark.parametrize("name", LEVELS)
@given(chunked())
def test_quantised_values_are_within_half_a_step(name, chunks):
    values_V, sizes_K = chunks
    seen_V = seen_by_receiver(name, values_V, sizes_K)
    start = 0
    for size in sizes_K:
        chunk, seen = values_V[start : start + size], seen_V[start : start + size]
        step = np.abs(chunk).max() / LEVELS[name]
        # Half a step, and what the scale's own rounding (2^-8) shifts the ends by.
        # A chunk of subnormal numbers becomes zeros.
        assert np.abs(chunk - seen).max() <= 0.5 * step * (1 + 2**-7) + np.abs(chunk).max() * 2**-8 + 1e-36
        start += size


@pytest.mark.parametrize(("name", "error"), [("float16", 2**-11), ("bfloat16", 2**-8)])
@given(hnp.arrays(np.float32, 30, elements=st.floats(2**-10, 60_000, width=32)))
def test_short_floats_keep_their_relative_precision(name, error, values_V):
    seen_V = seen_by_receiver(name, values_V, np.array([30]))
    assert (np.abs(seen_V - values_V) <= error * values_V).all()


def test_bfloat16_rounds_to_nearest_even_as_torch_does():
    torch = pytest.importorskip("torch")
    values_V = np.random.default_rng(0).normal(size=10_000).astype(np.float32)
    seen_V = seen_by_receiver("bfloat16", values_V, np.array([10_000]))
    assert np.array_equal(seen_V, torch.from_numpy(values_V).bfloat16().float().numpy())


@pytest.mark.parametrize(
    ("name", "values", "packed"),
    [
        ("int4", [7, -7, 3], [0xF1, 0xB0]),
        ("int2", [1, -1, 0.2, -0.2, 1], [0b11_01_10_10, 0b11_000000]),
        ("ternary", [1, -1, 0, 0, 0, 1], [2 + 3 * 0 + 9 + 27 + 81, 2]),
        ("sign", [1, -1, 0, -3, -3, -3, -3, 5, 5], [0b10100001, 0b1_0000000]),
        ("stc", [1, -1, 0, -3], [0b1010_0000]),
    ],
)
def test_values_share_bytes(name, values, packed):
    assert BUILT_IN[name].pack(np.array(values, np.float32), np.array([len(values)]))[0].tolist() == packed


@pytest.mark.parametrize("name", [name for name in SCALED if name != "stc"])
def test_tiny_changes_do_not_vanish_and_zeros_stay_zero(name):
    values_V = np.array([1e-9, 0, 0, 0], np.float32)
    seen_V = seen_by_receiver(name, values_V, np.array([1, 3]))
    np.testing.assert_allclose(seen_V, values_V, rtol=0.01)


@pytest.mark.parametrize("name", SCALED)
def test_a_message_of_zeros_is_one_of_zeros(name):
    assert not seen_by_receiver(name, np.zeros(11, np.float32), np.array([1, 2, 8])).any()


def test_what_does_not_fit_float16_is_refused_with_a_remedy():
    with pytest.raises(EncodingError, match="do not fit float16: choose bfloat16 or int8"):
        BUILT_IN["float16"].pack(np.array([1e6], np.float32), np.array([1]))


@pytest.mark.parametrize("name", [name for name in SCALED if name not in LEVELS])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(name, bad):
    values_V = np.array([1, 2, bad, 4], np.float32)
    with pytest.raises(EncodingError, match="lower the learning rates"):
        BUILT_IN[name].pack(values_V, np.array([2, 2]))


def test_every_built_in_has_an_id_of_its_own_and_options_are_the_receivers():
    assert [codec.wire_id for codec in BUILT_IN.values()] == list(range(len(BUILT_IN)))
    for codec in BUILT_IN.values():
        assert codec_of(codec.wire_id) is codec
        assert codec_of(codec.wire_id, BUILT_IN["int8"]) is codec
    assert codec_of(127) is None


GARBAGE = st.binary(max_size=40)


@pytest.mark.parametrize("name", SCALED)
@settings(max_examples=200)
@given(data=st.data(), sizes=st.lists(st.integers(1, 9), min_size=1, max_size=3))
def test_bytes_of_no_message_are_refused_or_are_values(name, data, sizes):
    codec, sizes_K = BUILT_IN[name], np.array(sizes, np.int64)
    length = codec.value_bytes(sizes_K)
    packed = np.frombuffer(data.draw(GARBAGE | st.binary(min_size=length, max_size=length)), np.uint8)
    scales = np.zeros(codec.scale_bytes(len(sizes_K)), np.uint8)
    if len(packed) != length:
        with pytest.raises(ValueError, match="bytes of values, expected"):
            codec.unpack(packed, scales, sizes_K)
        return
    try:
        seen_V = codec.unpack(packed, scales, sizes_K)
    except ValueError:
        return
    assert seen_V.shape == (sizes_K.sum(),)
    with pytest.raises(ValueError, match="bytes of scales, expected"):
        codec.unpack(packed, scales[:-1], sizes_K)


@pytest.mark.parametrize(
    ("name", "packed", "reason"),
    [
        ("ternary", [243], "five ternary digits"),
        ("ternary", [3**4], "behind the last"),
        ("sign", [0b0000_1000], "behind the last"),
        ("int2", [0], "below the lowest"),
        ("qsgd", [0xF0, 0], "above the highest"),
        ("topk_in_chunk", [0xFF], "behind the last"),
    ],
)
def test_numbers_that_mean_nothing_are_refused(name, packed, reason):
    codec = BUILT_IN[name]
    with pytest.raises(ValueError, match=reason):
        codec.unpack(np.array(packed, np.uint8), np.zeros(2, np.uint8), np.array([4]))
