"""Messages: what is decoded is what was encoded, sizes are what len() says, and no damage goes unnoticed."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp

from fedchunk.orchestrator.chunking import choice_code, codecs, header
from fedchunk.orchestrator.chunking.codecs.top_k import TopK
from fedchunk.orchestrator.chunking.draft import Draft
from fedchunk.orchestrator.chunking.encoding import PLAIN, Packing, decode, draft, encode, message_bytes
from fedchunk.orchestrator.chunking.header import SETUP_SIZE, Expected, Flag, Origin
from fedchunk.orchestrator.chunking.layout import Layout
from fedchunk.orchestrator.chunking.sections import COMPRESSIONS
from fedchunk.orchestrator.core.errors import PayloadError

ENCODINGS = tuple(codecs.BUILT_IN)
LAYOUT = Layout(100, 10)
FLOATS = st.floats(-60_000, 60_000, width=32)
NOTHING = (np.empty(0, np.float32), np.empty(0, np.int64))


@st.composite
def messages(draw):
    num_parameters = draw(st.integers(1, 200) | st.integers(600, 700))
    num_chunks = draw(st.integers(1, num_parameters if num_parameters < 600 else 2))
    borders = draw(st.none() | st.lists(st.integers(0, num_parameters), max_size=5))
    layout = Layout(num_parameters, num_chunks)
    if borders is not None:
        layout = Layout.at_tensors(np.array([0, *sorted(borders), num_parameters]), num_chunks)
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
    expected = Expected(
        Origin(*(fields[name] for name in ("round_index", "sender", "num_samples"))), draw(st.booleans())
    )
    return layout, vector_P, mask_C, fields, expected, (len(buffers_B), len(counters_I))


@settings(max_examples=300)
@given(messages())
def test_decoding_gives_back_what_the_sender_says_will_be_seen(message):
    layout, vector_P, mask_C, fields, expected, counts = message
    sent = draft(layout, vector_P, mask_C, **fields)
    payload = sent.encoded().over(stands=expected.stands).payload
    decoded = decode(payload, layout, expected, *counts, known_C=None if fields["with_mask"] else mask_C)
    assert decoded.is_change == fields["is_change"]
    assert not decoded.from_first
    assert np.array_equal(decoded.mask_C, mask_C)
    assert decoded.values.tobytes() == sent.seen.tobytes()
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
    layout, vector_P, mask_C, fields, expected, counts = message
    encoded = encode(layout, vector_P, mask_C, **fields).over(stands=expected.stands)
    decoded = decode(encoded.payload, layout, expected, *counts, known_C=mask_C)
    assert encoded.sizes.keys() <= decoded.sizes.keys()
    assert {kind: size for kind, size in decoded.sizes.items() if size} == {
        kind: size for kind, size in encoded.sizes.items() if size
    }
    assert sum(encoded.sizes.values()) == len(encoded.payload)
    count = int(mask_C.sum())
    mask = choice_code.most_bytes(layout.num_chunks, count, count)
    if not fields["with_mask"]:
        mask = choice_code.count_bytes(layout.num_chunks)
    others = layout.num_chunks - count
    told = message_bytes(
        layout.num_values(mask_C),
        *(counts if fields["buffers"] is not None else (0, 0)),
        0 if fields["shares_K"] is None else count,
        mask=mask,
        num_selected=count,
        codec=fields["packing"].codec,
        choice=0 if fields["choice_C"] is None else choice_code.most_bytes(layout.num_chunks, others, others),
        sizes_K=layout.sizes_C[mask_C] if layout.tensor_bounds else None,
    )
    length = sum(told.values()) + (0 if expected.stands else SETUP_SIZE)
    if fields["packing"].compression == "none":
        assert length == len(encoded.payload)
    else:
        assert len(encoded.payload) <= length


@pytest.mark.parametrize("num_chunks", range(40, 56))
def test_float32_values_are_not_copied_wherever_they_lie(num_chunks):
    """Masks are as long as they need to be, so values begin at any byte; copying them took longer than all checks."""
    layout = Layout(num_chunks * 3, num_chunks)
    vector_P = np.arange(num_chunks * 3, dtype=np.float32)
    mask_C = np.arange(num_chunks) % 3 > 0
    sent = draft(layout, vector_P, mask_C, round_index=1, sender=0, num_samples=1, buffers=None)
    payload = sent.encoded().payload
    payload.setflags(write=False)  # as what comes out of the object store
    decoded = decode(payload, layout, Expected(Origin(1, 0, 1), stands=False), 0, 0)
    assert np.shares_memory(decoded.values, payload)
    assert not decoded.values.flags.writeable
    assert decoded.values.tolist() == vector_P[np.repeat(mask_C, 3)].tolist()


def test_compression_is_used_where_it_helps():
    payload = encode(
        Layout(10_000, 4), np.zeros(10_000, np.float32), np.ones(4, bool), round_index=1, sender=0, num_samples=1,
        buffers=None, packing=Packing.built_in("float32", "zstd"),
    ).payload  # fmt: skip
    assert len(payload) < 200


EXPECTED = Expected(Origin(3, 7, 11), stands=False)
LATER = Expected(Origin(3, 7, 11), stands=True)


def example(*, stands=False, **changes):
    fields = {
        "round_index": 3,
        "sender": 7,
        "num_samples": 11,
        "buffers": (np.array([1, 2], np.float32), np.array([5], np.int64)),
    }
    mask_C = np.arange(10) % 3 == 0
    return encode(LAYOUT, np.arange(100, dtype=np.float32), mask_C, **{**fields, **changes}).over(stands=stands).payload


@settings(max_examples=300)
@given(
    st.data(),
    st.booleans(),
    st.sampled_from([PLAIN, Packing.built_in("int4", "zstd"), Packing.built_in("float16", "lz4")]),
)
def test_every_flipped_bit_is_noticed(data, stands, packing):
    payload = example(packing=packing, stands=stands)
    bit = data.draw(st.integers(0, 8 * len(payload) - 1))
    payload[bit // 8] ^= 1 << bit % 8
    with pytest.raises(PayloadError):
        decode(payload, LAYOUT, Expected(EXPECTED.origin, stands), 2, 1)


@pytest.mark.parametrize("stands", [False, True])
def test_every_truncation_is_noticed(stands):
    payload = example(stands=stands)
    for length in range(len(payload)):
        with pytest.raises(PayloadError):
            decode(payload[:length], LAYOUT, Expected(EXPECTED.origin, stands), 2, 1)


@given(st.binary(max_size=400), st.booleans())
def test_arbitrary_bytes_are_refused_and_never_crash(noise, stands):
    start = bytes([2]) if stands else b""
    with pytest.raises(PayloadError):
        decode(np.frombuffer(start + noise, np.uint8), LAYOUT, Expected(EXPECTED.origin, stands), 2, 1)


def test_a_first_message_and_a_later_one_by_hand():
    """10 chunks of 10 values, of which 0, 3, 6 and 9 go: 2 bytes of mask, 4 chunks of 40 bytes, 16 bytes of buffers."""
    first, later = example(), example(stands=True)
    assert len(first) == 32 + 2 + 16 + 4 * 40
    assert len(later) == 8 + 2 + 16 + 4 * 40
    assert first[24:].tobytes() == later.tobytes()
    assert first[:16].tobytes() == b"FDCK" + bytes([3, 0, 0, 0, 7, 0, 0, 0, 11, 0, 0, 0])
    assert first[16:24].tobytes() == LAYOUT.fingerprint
    assert later[:4].tolist() == [2, 4 + 8, 0, 3 << 4]  # version, flags, float32, bitmap and round 3
    assert later[8:10].tolist() == [0b10010010, 0b01000000]


@pytest.mark.parametrize(
    ("origin", "reason"),
    [
        (Origin(4, 7, 11), "another round than expected, 4"),
        (Origin(19, 7, 11), "another sender, number of samples or layout"),  # rounds 3 and 19 end in the same four bits
        (Origin(3, 6, 11), "another sender"),
        (Origin(3, 7, 12), "number of samples"),
    ],
)
def test_a_later_message_from_elsewhere_is_refused_as_a_first_one_is(origin, reason):
    with pytest.raises(PayloadError, match=r"says \(round, client, samples\) \(3, 7, 11\), expected"):
        decode(example(), LAYOUT, Expected(origin, stands=False), 2, 1)
    with pytest.raises(PayloadError, match=reason):
        decode(example(stands=True), LAYOUT, Expected(origin, stands=True), 2, 1)


def test_a_connection_is_set_up_once():
    with pytest.raises(PayloadError, match="sets up a connection that stands"):
        decode(example(), LAYOUT, LATER, 2, 1)
    with pytest.raises(PayloadError, match="not b'FDCK'"):
        decode(example(stands=True), LAYOUT, EXPECTED, 2, 1)


@pytest.mark.parametrize("stands", [False, True])
def test_a_message_of_another_version_is_refused(stands):
    payload = example(stands=stands)
    payload[0 if stands else 24] = 1
    with pytest.raises(PayloadError, match="version 1, this is version 2"):
        decode(payload, LAYOUT, Expected(EXPECTED.origin, stands), 2, 1)


@pytest.mark.parametrize("damage", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(damage):
    vector_P = np.zeros(100, np.float32)
    vector_P[99] = damage
    payload = encode(
        LAYOUT, vector_P, np.ones(10, bool), round_index=1, sender=0, num_samples=1, buffers=NOTHING
    ).payload
    with pytest.raises(PayloadError, match="not finite"):
        decode(payload, LAYOUT, FIRST, 0, 0)


FIRST = Expected(Origin(1, 0, 1), stands=False)
LARGE = Layout(150_000, 6)
"""More values than are looked at in one step."""


@pytest.mark.parametrize("place", [0, 65_535, 65_536, 131_072, 149_999])
def test_a_large_message_is_checked_to_its_last_value(place):
    vector_P = np.random.default_rng(0).normal(size=150_000).astype(np.float32)
    fields = {"round_index": 1, "sender": 0, "num_samples": 1, "buffers": NOTHING}
    everything = np.ones(6, bool)
    payload = encode(LARGE, vector_P, everything, **fields).payload
    assert decode(payload, LARGE, FIRST, 0, 0).values.tobytes() == vector_P.tobytes()
    payload[len(payload) - 4 * (150_000 - place)] ^= 1
    with pytest.raises(PayloadError, match="damaged on the way"):
        decode(payload, LARGE, FIRST, 0, 0)
    vector_P[place] = np.inf
    with pytest.raises(PayloadError, match="values that are not finite"):
        decode(encode(LARGE, vector_P, everything, **fields).payload, LARGE, FIRST, 0, 0)


def test_damage_is_named_before_what_it_does():
    """A flipped bit that turns a value into nan is damage, not a client that sends nan."""
    payload = example()
    payload[-4:] = np.array([np.nan], "<f4").view(np.uint8)
    with pytest.raises(PayloadError, match="damaged on the way"):
        decode(payload, LAYOUT, EXPECTED, 2, 1)


def test_buffers_that_are_not_finite_are_refused():
    with pytest.raises(PayloadError, match="buffers that are not finite"):
        decode(example(buffers=(np.array([1, np.nan], np.float32), np.array([5]))), LAYOUT, EXPECTED, 2, 1)


@pytest.mark.parametrize("other", [Layout(100, 11), Layout(101, 10), Layout(100, 10, (0, 100))])
def test_a_message_of_another_layout_is_refused(other):
    with pytest.raises(PayloadError, match=f"another layout than {other.num_parameters} values"):
        decode(example(), other, EXPECTED, 2, 1)
    with pytest.raises(PayloadError, match="another sender, number of samples or layout"):
        decode(example(stands=True), other, LATER, 2, 1)


def test_a_message_with_another_number_of_buffers_is_refused():
    with pytest.raises(PayloadError):
        decode(example(), LAYOUT, EXPECTED, 3, 1)


@pytest.mark.parametrize("name", ["ternary", "int2", "topk_in_chunk"])
def test_values_that_an_encoding_cannot_read_are_a_bad_payload(name):
    """Whole and with a right checksum, but not what the encoding gives: from a client that makes its own."""
    payload = example(packing=Packing.built_in(name), buffers=None)
    head = header.read(payload, LAYOUT, EXPECTED)
    payload[-6:] = 0 if name == "int2" else 255
    header.write(payload, head, LAYOUT)
    with pytest.raises(PayloadError, match="cannot be decoded"):
        decode(payload, LAYOUT, EXPECTED, 2, 1)


def test_options_are_not_in_a_message_but_a_receiver_with_others_cannot_be_misled():
    few, many = TopK(8, 0.1), TopK(8, 0.5)
    payload = example(packing=Packing(few), buffers=None)
    assert np.count_nonzero(decode(payload, LAYOUT, EXPECTED, 2, 1, own=few).values) == 4
    with pytest.raises(PayloadError, match="bytes of values, its header describes"):
        decode(payload, LAYOUT, EXPECTED, 2, 1, own=many)


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("stands", [False, True])
def test_all_flags_fit_beside_any_compression(compression, stands):
    """The highest flag is that of changes to the first model; of float32 zeros every compression makes less."""
    mask_C, nothing_P = np.arange(10) % 3 == 0, np.zeros(100, np.float32)
    packed = codecs.pack_chunks(codecs.FLOAT32, nothing_P, mask_C, LAYOUT)
    message = Draft(
        LAYOUT, packed, mask_C, EXPECTED.origin, NOTHING, compression=compression, is_change=True, from_first=True
    )
    encoded = message.encoded().over(stands=stands)
    assert encoded.sizes == message.sizes(stands=stands)
    expected = Expected(EXPECTED.origin, stands)
    head = header.read(encoded.payload, LAYOUT, expected)
    assert head.flags == Flag.CHANGES | Flag.BUFFERS | Flag.MASK | Flag.FROM_FIRST
    assert COMPRESSIONS[head.compression] == compression
    message = decode(encoded.payload, LAYOUT, expected, 0, 0)
    assert message.from_first
    assert not message.values.any()


@pytest.mark.parametrize("share", [0.0, -0.5, 1.5, np.nan])
def test_shares_outside_their_range_are_refused(share):
    with pytest.raises(PayloadError, match="shares"):
        decode(example(shares_K=np.full(4, share, np.float32)), LAYOUT, EXPECTED, 2, 1)


def test_a_message_without_a_mask_needs_a_receiver_that_knows():
    payload = example(with_mask=False)
    with pytest.raises(PayloadError, match="no mask"):
        decode(payload, LAYOUT, EXPECTED, 2, 1)
    with pytest.raises(PayloadError, match="3 chunks are known, the message says 4"):
        decode(payload, LAYOUT, EXPECTED, 2, 1, known_C=np.arange(10) < 3)


@pytest.mark.parametrize("thing", [b"bytes", np.zeros(80, np.float32), np.zeros((8, 10), np.uint8)])
def test_what_is_not_a_run_of_bytes_is_refused(thing):
    with pytest.raises(PayloadError, match="not a run of bytes"):
        decode(thing, LAYOUT, FIRST, 0, 0)
