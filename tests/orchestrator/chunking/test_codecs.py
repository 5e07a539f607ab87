"""Packed values: as small as they say, as close as they can be."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp

from fedchunk.orchestrator.chunking.codecs import LEVELS, pack, scale_bytes, unpack, value_bytes
from fedchunk.orchestrator.core.errors import EncodingError

VALUES = st.floats(-60_000, 60_000, width=32)


@st.composite
def chunked(draw):
    sizes_K = np.array(draw(st.lists(st.integers(1, 20), max_size=8)), np.int64)
    return draw(hnp.arrays(np.float32, int(sizes_K.sum()), elements=VALUES)), sizes_K


@pytest.mark.parametrize("encoding", ["float32", "float16", "bfloat16", "int8", "int4"])
@given(chunked())
def test_sizes_are_those_announced_and_nothing_is_lost_twice(encoding, chunks):
    values_V, sizes_K = chunks
    packed, scales = pack(encoding, values_V, sizes_K)
    assert len(packed) == value_bytes(encoding, len(values_V))
    assert len(scales) == scale_bytes(encoding, len(sizes_K))
    seen_V = unpack(encoding, packed, scales, sizes_K)
    assert seen_V.dtype == np.float32
    assert len(seen_V) == len(values_V)
    if encoding in ("float32", "float16", "bfloat16"):
        assert pack(encoding, seen_V, sizes_K)[0].tobytes() == packed.tobytes()


@pytest.mark.parametrize("encoding", ["int8", "int4"])
@given(chunked())
def test_quantised_values_are_within_half_a_step(encoding, chunks):
    values_V, sizes_K = chunks
    seen_V = unpack(encoding, *pack(encoding, values_V, sizes_K), sizes_K)
    start = 0
    for size in sizes_K:
        chunk, seen = values_V[start : start + size], seen_V[start : start + size]
        step = np.abs(chunk).max() / LEVELS[encoding]
        # Half a step, and what the scale's own rounding (2^-8) shifts the ends by.
        # A chunk of subnormal numbers becomes zeros.
        assert np.abs(chunk - seen).max() <= 0.5 * step * (1 + 2**-7) + np.abs(chunk).max() * 2**-8 + 1e-36
        start += size


@pytest.mark.parametrize(("encoding", "error"), [("float16", 2**-11), ("bfloat16", 2**-8)])
@given(hnp.arrays(np.float32, 30, elements=st.floats(2**-10, 60_000, width=32)))
def test_short_floats_keep_their_relative_precision(encoding, error, values_V):
    seen_V = unpack(encoding, *pack(encoding, values_V, np.array([30])), np.array([30]))
    assert (np.abs(seen_V - values_V) <= error * values_V).all()


def test_bfloat16_rounds_to_nearest_even_as_torch_does():
    torch = pytest.importorskip("torch")
    values_V = np.random.default_rng(0).normal(size=10_000).astype(np.float32)
    seen_V = unpack("bfloat16", *pack("bfloat16", values_V, np.array([10_000])), np.array([10_000]))
    assert np.array_equal(seen_V, torch.from_numpy(values_V).bfloat16().float().numpy())


def test_two_int4_values_share_a_byte():
    packed, _ = pack("int4", np.array([7, -7, 3], np.float32), np.array([3]))
    assert packed.tolist() == [0xF1, 0xB0]


@pytest.mark.parametrize("encoding", ["int8", "int4"])
def test_tiny_changes_do_not_vanish_and_zeros_stay_zero(encoding):
    values_V = np.array([1e-9, -1e-9, 0, 0, 0], np.float32)
    seen_V = unpack(encoding, *pack(encoding, values_V, np.array([2, 3])), np.array([2, 3]))
    np.testing.assert_allclose(seen_V, values_V, rtol=0.01)


def test_what_does_not_fit_float16_is_refused_with_a_remedy():
    with pytest.raises(EncodingError, match="do not fit float16: choose bfloat16 or int8"):
        pack("float16", np.array([1e6], np.float32), np.array([1]))
