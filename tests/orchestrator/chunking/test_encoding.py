"""Messages: what is decoded is what was encoded, sizes are what len() says, and no damage goes unnoticed."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp

from fedchunk.orchestrator.chunking import codecs, header
from fedchunk.orchestrator.chunking.codecs.top_k import TopK
from fedchunk.orchestrator.chunking.encoding import COMPRESSIONS, PLAIN, Packing, decode, encode, message_bytes
from fedchunk.orchestrator.chunking.layout import Layout
from fedchunk.orchestrator.core.errors import PayloadError

ENCODINGS = tuple(codecs.BUILT_IN)
LAYOUT = Layout(100, 10)
FLOATS = st.floats(-60_000, 60_000, width=32)
NOTHING = (np.empty(0, np.float32), np.empty(0, np.int64))


@st.composite
def messages(draw):
    num_parameters = draw(st.integers(1, 200) | st.integers(600, 700))
    layout = Layout(num_parameters, draw(st.integers(1, num_parameters if num_parameters < 600 else 2)))
    mask_C = draw(hnp.arrays(np.bool_, layout.num_chunks))
    shares = draw(hnp.arrays(np.float32, int(mask_C.sum()), elements=st.floats(2**-10, 1, width=32)))
    buffers_B = draw(hnp.arrays(np.float32, st.integers(0, 5), elements=FLOATS))
    counters_I = draw(hnp.arrays(np.int64, st.integers(0, 5)))
    fields = {
        "round_index": draw(st.integers(0, 2**32 - 1)),
        "sender": draw(st.integers(-1, 2**31 - 1)),
        "num_samples": draw(st.integers(0, 2**32 - 1)),
        "buffers": draw(st.sampled_from([None, (buffers_B, counters_I)])),
        "packing": Packing.built_in(draw(st.sampled_from(ENCODINGS)), draw(st.sampled_from(COMPRESSIONS))),
        "is_change": draw(st.booleans()),
        "shares_K": draw(st.sampled_from([None, shares])),
        "choice_C": draw(st.sampled_from([None, ~mask_C])),
        "with_mask": draw(st.booleans()),
    }
    vector_P = draw(hnp.arrays(np.float32, num_parameters, elements=FLOATS))
    return layout, vector_P, mask_C, fields, (len(buffers_B), len(counters_I))


@settings(max_examples=300)
@given(messages())
def test_decoding_gives_back_what_the_sender_says_will_be_seen(message):
    layout, vector_P, mask_C, fields, counts = message
    encoded = encode(layout, vector_P, mask_C, **fields)
    decoded = decode(encoded.payload, layout, *counts, known_C=None if fields["with_mask"] else mask_C)
    for name in ("round_index", "sender", "num_samples", "is_change"):
        assert getattr(decoded, name) == fields[name]
    assert np.array_equal(decoded.mask_C, mask_C)
    assert decoded.values.tobytes() == encoded.seen.tobytes()
    if fields["packing"].codec is codecs.FLOAT32:
        assert decoded.values.tobytes() == vector_P[np.repeat(mask_C, layout.sizes_C)].tobytes()
    for name in ("shares_K", "choice_C"):
        found, sent = getattr(decoded, name), fields[name]
        assert (found is None) == (sent is None)
        assert sent is None or np.array_equal(found, sent)
    if fields["buffers"] is None:
        assert decoded.buffers_B is None
        assert decoded.counters_I is None
    else:
        assert np.array_equal(decoded.buffers_B, fields["buffers"][0])
        assert np.array_equal(decoded.counters_I, fields["buffers"][1])


@settings(max_examples=200)
@given(messages())
def test_sizes_are_what_len_says_at_both_ends_and_need_no_encoding(message):
    layout, vector_P, mask_C, fields, counts = message
    encoded = encode(layout, vector_P, mask_C, **fields)
    decoded = decode(encoded.payload, layout, *counts, known_C=mask_C)
    assert encoded.sizes.keys() <= decoded.sizes.keys()
    assert {kind: size for kind, size in decoded.sizes.items() if size} == {
        kind: size for kind, size in encoded.sizes.items() if size
    }
    assert sum(encoded.sizes.values()) == len(encoded.payload)
    expected = message_bytes(
        layout.num_chunks,
        layout.num_values(mask_C),
        *(counts if fields["buffers"] is not None else (0, 0)),
        0 if fields["shares_K"] is None else int(mask_C.sum()),
        num_selected=int(mask_C.sum()),
        codec=fields["packing"].codec,
        with_mask=fields["with_mask"],
        with_choice=fields["choice_C"] is not None,
    )
    if fields["packing"].compression == "none":
        assert sum(expected.values()) == len(encoded.payload)
    else:
        assert len(encoded.payload) <= sum(expected.values())


def test_compression_is_used_where_it_helps():
    payload = encode(
        Layout(10_000, 4), np.zeros(10_000, np.float32), np.ones(4, bool), round_index=1, sender=0, num_samples=1,
        buffers=None, packing=Packing.built_in("float32", "zstd"),
    ).payload  # fmt: skip
    assert len(payload) < 200


def example(**changes):
    fields = {
        "round_index": 3,
        "sender": 7,
        "num_samples": 11,
        "buffers": (np.array([1, 2], np.float32), np.array([5], np.int64)),
    }
    mask_C = np.arange(10) % 3 == 0
    return encode(LAYOUT, np.arange(100, dtype=np.float32), mask_C, **{**fields, **changes}).payload


@settings(max_examples=300)
@given(st.data(), st.sampled_from([PLAIN, Packing.built_in("int4", "zstd"), Packing.built_in("float16", "lz4")]))
def test_every_flipped_bit_is_noticed(data, packing):
    payload = example(packing=packing)
    bit = data.draw(st.integers(0, 8 * len(payload) - 1))
    payload[bit // 8] ^= 1 << bit % 8
    with pytest.raises(PayloadError):
        decode(payload, LAYOUT, 2, 1)


@pytest.mark.parametrize("length", [0, 1, 35, 36, 38, 40, 100])
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
    payload = encode(
        LAYOUT, vector_P, np.ones(10, bool), round_index=1, sender=0, num_samples=1, buffers=NOTHING
    ).payload
    with pytest.raises(PayloadError, match="not finite"):
        decode(payload, LAYOUT, 0, 0)


LARGE = Layout(150_000, 6)
"""More values than are looked at in one step."""


@pytest.mark.parametrize("place", [0, 65_535, 65_536, 131_072, 149_999])
def test_a_large_message_is_checked_to_its_last_value(place):
    vector_P = np.random.default_rng(0).normal(size=150_000).astype(np.float32)
    fields = {"round_index": 1, "sender": 0, "num_samples": 1, "buffers": NOTHING}
    everything = np.ones(6, bool)
    payload = encode(LARGE, vector_P, everything, **fields).payload
    assert decode(payload, LARGE, 0, 0).values.tobytes() == vector_P.tobytes()
    payload[len(payload) - 4 * (150_000 - place)] ^= 1
    with pytest.raises(PayloadError, match="damaged on the way"):
        decode(payload, LARGE, 0, 0)
    vector_P[place] = np.inf
    with pytest.raises(PayloadError, match="values that are not finite"):
        decode(encode(LARGE, vector_P, everything, **fields).payload, LARGE, 0, 0)


def test_damage_is_named_before_what_it_does():
    """A flipped bit that turns a value into nan is damage, not a client that sends nan."""
    payload = example()
    payload[-4:] = np.array([np.nan], "<f4").view(np.uint8)
    with pytest.raises(PayloadError, match="damaged on the way"):
        decode(payload, LAYOUT, 2, 1)


def test_buffers_that_are_not_finite_are_refused():
    with pytest.raises(PayloadError, match="buffers that are not finite"):
        decode(example(buffers=(np.array([1, np.nan], np.float32), np.array([5]))), LAYOUT, 2, 1)


@pytest.mark.parametrize("other", [Layout(100, 11), Layout(101, 10)])
def test_a_message_of_another_layout_is_refused(other):
    with pytest.raises(PayloadError, match=f"another layout than {other.num_parameters} values"):
        decode(example(), other, 2, 1)


def test_a_message_with_another_number_of_buffers_is_refused():
    with pytest.raises(PayloadError):
        decode(example(), LAYOUT, 3, 1)


@pytest.mark.parametrize("name", ["ternary", "int2", "topk_in_chunk"])
def test_values_that_an_encoding_cannot_read_are_a_bad_payload(name):
    """Whole and with a right checksum, but not what the encoding gives: from a client that makes its own."""
    payload = example(packing=Packing.built_in(name), buffers=None)
    head = header.read(payload, LAYOUT)
    payload[-6:] = 0 if name == "int2" else 255
    header.write(payload, head, LAYOUT)
    with pytest.raises(PayloadError, match="cannot be decoded"):
        decode(payload, LAYOUT, 2, 1)


def test_options_are_not_in_a_message_but_a_receiver_with_others_cannot_be_misled():
    few, many = TopK(8, 0.1), TopK(8, 0.5)
    payload = example(packing=Packing(few), buffers=None)
    assert np.count_nonzero(decode(payload, LAYOUT, 2, 1, own=few).values) == 4
    with pytest.raises(PayloadError, match="bytes of values, its header describes"):
        decode(payload, LAYOUT, 2, 1, own=many)


@pytest.mark.parametrize("share", [0.0, -0.5, 1.5, np.nan])
def test_shares_outside_their_range_are_refused(share):
    with pytest.raises(PayloadError, match="shares"):
        decode(example(shares_K=np.full(4, share, np.float32)), LAYOUT, 2, 1)


def test_a_message_without_a_mask_needs_a_receiver_that_knows():
    payload = example(with_mask=False)
    with pytest.raises(PayloadError, match="no mask"):
        decode(payload, LAYOUT, 2, 1)
    with pytest.raises(PayloadError, match="the header says 4"):
        decode(payload, LAYOUT, 2, 1, known_C=np.arange(10) < 3)


@pytest.mark.parametrize("thing", [b"bytes", np.zeros(80, np.float32), np.zeros((8, 10), np.uint8)])
def test_what_is_not_a_run_of_bytes_is_refused(thing):
    with pytest.raises(PayloadError, match="not a run of bytes"):
        decode(thing, LAYOUT, 0, 0)
