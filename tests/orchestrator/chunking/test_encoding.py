"""Messages: what is decoded is what was encoded, sizes are what len() says, and no damage goes unnoticed."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp

from orchestrator.chunking.encoding import decode, encode, message_bytes
from orchestrator.chunking.layout import Layout
from orchestrator.errors import PayloadError

LAYOUT = Layout(100, 10)
FLOATS = st.floats(-1e6, 1e6, width=32)


@st.composite
def messages(draw):
    num_parameters = draw(st.integers(1, 200))
    layout = Layout(num_parameters, draw(st.integers(1, num_parameters)))
    mask_C = draw(hnp.arrays(np.bool_, layout.num_chunks))
    shares = draw(hnp.arrays(np.float32, int(mask_C.sum()), elements=st.floats(2**-10, 1, width=32)))
    fields = {
        "round_index": draw(st.integers(0, 2**32 - 1)),
        "sender": draw(st.integers(-1, 2**31 - 1)),
        "num_samples": draw(st.integers(0, 2**63 - 1)),
        "buffers_B": draw(hnp.arrays(np.float32, st.integers(0, 5), elements=FLOATS)),
        "counters_I": draw(hnp.arrays(np.int64, st.integers(0, 5))),
        "shares_K": draw(st.sampled_from([None, shares])),
    }
    return layout, draw(hnp.arrays(np.float32, num_parameters, elements=FLOATS)), mask_C, fields


@given(messages())
def test_decoding_gives_back_what_was_encoded_bit_for_bit(message):
    layout, vector_P, mask_C, fields = message
    payload, sizes = encode(layout, vector_P, mask_C, **fields)
    decoded = decode(payload, layout, len(fields["buffers_B"]), len(fields["counters_I"]))
    assert sum(sizes.values()) == len(payload)
    assert (decoded.round_index, decoded.sender, decoded.num_samples) == (
        fields["round_index"],
        fields["sender"],
        fields["num_samples"],
    )
    assert np.array_equal(decoded.mask_C, mask_C)
    assert decoded.values.tobytes() == vector_P[np.repeat(mask_C, layout.sizes_C)].tobytes()
    assert decoded.buffers_B.tobytes() == fields["buffers_B"].tobytes()
    assert decoded.counters_I.tobytes() == fields["counters_I"].tobytes()
    if fields["shares_K"] is not None and mask_C.any():
        assert decoded.shares_K.tobytes() == fields["shares_K"].tobytes()
    else:
        assert decoded.shares_K is None


@given(messages())
def test_sizes_by_kind_need_no_encoding(message):
    layout, vector_P, mask_C, fields = message
    payload, sizes = encode(layout, vector_P, mask_C, **fields)
    num_shares = 0 if fields["shares_K"] is None else int(mask_C.sum())
    expected = message_bytes(
        layout.num_chunks, layout.num_values(mask_C), len(fields["buffers_B"]), len(fields["counters_I"]), num_shares
    )
    assert sizes == expected
    assert sum(expected.values()) == len(payload)


def example(**changes):
    fields = {
        "round_index": 3,
        "sender": 7,
        "num_samples": 11,
        "buffers_B": np.array([1, 2], np.float32),
        "counters_I": np.array([5], np.int64),
    }
    mask_C = np.arange(10) % 3 == 0
    return encode(LAYOUT, np.arange(100, dtype=np.float32), mask_C, **{**fields, **changes})[0]


@settings(max_examples=300)
@given(st.data())
def test_every_flipped_bit_is_noticed(data):
    payload = example()
    bit = data.draw(st.integers(0, 8 * len(payload) - 1))
    payload[bit // 8] ^= 1 << bit % 8
    with pytest.raises(PayloadError):
        decode(payload, LAYOUT, 2, 1)


@pytest.mark.parametrize("length", [0, 1, 63, 64, 66, 68, 100])
def test_every_truncation_is_noticed(length):
    with pytest.raises(PayloadError):
        decode(example()[:length], LAYOUT, 2, 1)


@given(st.binary(max_size=400))
def test_arbitrary_bytes_are_refused_and_never_crash(noise):
    with pytest.raises(PayloadError):
        decode(np.frombuffer(noise, np.uint8), LAYOUT, 2, 1)


@pytest.mark.parametrize("damage", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(damage):
    vector_P = np.zeros(100, np.float32)
    vector_P[99] = damage
    empty = {"buffers_B": np.empty(0, np.float32), "counters_I": np.empty(0, np.int64)}
    payload, _ = encode(LAYOUT, vector_P, np.ones(10, bool), round_index=1, sender=0, num_samples=1, **empty)
    with pytest.raises(PayloadError, match="not finite"):
        decode(payload, LAYOUT, 0, 0)


def test_buffers_that_are_not_finite_are_refused():
    with pytest.raises(PayloadError, match="buffers that are not finite"):
        decode(example(buffers_B=np.array([1, np.nan], np.float32)), LAYOUT, 2, 1)


@pytest.mark.parametrize("other", [Layout(100, 11), Layout(101, 10)])
def test_a_message_of_another_layout_is_refused_with_both_layouts(other):
    with pytest.raises(PayloadError, match=f"100 values in 10 chunks, expected {other.num_parameters}"):
        decode(example(), other, 2, 1)


def test_a_message_with_another_number_of_buffers_is_refused():
    with pytest.raises(PayloadError, match="2 float buffers, the model has 3"):
        decode(example(), LAYOUT, 3, 1)


@pytest.mark.parametrize("share", [0.0, -0.5, 1.5, np.nan])
def test_shares_outside_their_range_are_refused(share):
    with pytest.raises(PayloadError, match="shares"):
        decode(example(shares_K=np.full(4, share, np.float32)), LAYOUT, 2, 1)


@pytest.mark.parametrize("thing", [b"bytes", np.zeros(80, np.float32), np.zeros((8, 10), np.uint8)])
def test_what_is_not_a_run_of_bytes_is_refused(thing):
    with pytest.raises(PayloadError, match="not a run of bytes"):
        decode(thing, LAYOUT, 0, 0)
