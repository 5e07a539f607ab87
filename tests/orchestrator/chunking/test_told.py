"""What was told before, told again: the same bits as if it had been heard then."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedchunk.orchestrator.chunking.codecs import BUILT_IN, ByValue, pack_chunks
from fedchunk.orchestrator.chunking.layout import Layout
from fedchunk.orchestrator.chunking.told import Told, kept, merged, often, replayed, since, tellings_C

NOT_THE_SAME_TWICE = ("drive", "qsgd", "stc", "topk_in_chunk")
"""Encodings that may give other values when they encode what they decoded: messages of theirs are replayed."""


def history_of(seed, rounds, layout, codec, share=0.4):
    """Random changes of random chunks; and the model that heard them all, (P,)."""
    rng = np.random.default_rng(seed)
    model_P = rng.standard_normal(layout.num_parameters).astype(np.float32)
    start_P, history = model_P.copy(), []
    for round_index in range(1, rounds + 1):
        mask_C = rng.random(layout.num_chunks) < share
        change_P = (rng.standard_normal(layout.num_parameters) * 10.0 ** rng.integers(-4, 2)).astype(np.float32)
        packed = pack_chunks(codec, change_P, mask_C, layout)
        layout.add(codec.unpack(packed.joined, packed.scales, packed.sizes_K), mask_C, model_P)
        history.append(Told.of(round_index, mask_C, packed))
    return start_P, model_P, tuple(history)


def heard(start_P, tellings, layout):
    """A model that is told something, message by message."""
    model_P = start_P.copy()
    for mask_C, packed in tellings:
        layout.add(packed.codec.unpack(packed.joined, packed.scales, packed.sizes_K), mask_C, model_P)
    return model_P


def again(history, codec, layout):
    """The old messages, one behind the other."""
    return [(told.mask_C, told.packed(codec, layout)) for told in replayed(history)]


@given(
    seed=st.integers(0, 2**32 - 1),
    rounds=st.integers(1, 7),
    name=st.sampled_from(list(BUILT_IN)),
    sizes=st.sampled_from([(7, 7), (50, 6), (101, 10), (33, 4)]),
)
def test_told_again_either_way_it_gives_the_same_bits(seed, rounds, name, sizes):
    layout, codec = Layout(*sizes), BUILT_IN[name]
    start_P, model_P, history = history_of(seed, rounds, layout, codec)

    assert heard(start_P, again(history, codec, layout), layout).tobytes() == model_P.tobytes()
    for often_C in (np.zeros(layout.num_chunks, bool), often(history, layout), np.arange(layout.num_chunks) % 2 == 0):
        layers = merged(history, often_C, codec, layout)
        if layers is None:
            assert name in NOT_THE_SAME_TWICE
            continue
        told_P = heard(start_P, layers, layout)
        values_P = np.repeat(often_C, layout.sizes_C)
        assert np.where(values_P, model_P, told_P).tobytes() == model_P.tobytes()
        assert len(layers) == tellings_C(history, layout.num_chunks)[~often_C].max(initial=0)
        assert sum(mask_C.sum() for mask_C, _ in layers) == tellings_C(history, layout.num_chunks)[~often_C].sum()


def test_each_telling_goes_into_the_message_of_its_number():
    layout, codec = Layout(4, 4), BUILT_IN["float32"]
    masks = [[1, 0, 0, 0], [1, 1, 0, 0], [1, 0, 1, 0]]
    values = [[1, 0, 0, 0], [2, 20, 0, 0], [3, 0, 30, 0]]
    history = tuple(
        Told.of(at, np.array(mask, bool), pack_chunks(codec, np.array(v, np.float32), np.array(mask, bool), layout))
        for at, (mask, v) in enumerate(zip(masks, values, strict=True), 1)
    )
    layers = merged(history, np.zeros(4, bool), codec, layout)
    told = [(mask_C.tolist(), packed.joined.view("<f4").tolist()) for mask_C, packed in layers]
    assert told == [
        ([True, True, True, False], [1, 20, 30]), ([True, False, False, False], [2]), ([True, False, False, False], [3])
    ]  # fmt: skip


def test_values_take_over_where_a_chunk_was_told_so_often_that_they_are_shorter():
    layout, codec = Layout(20, 2), BUILT_IN["float16"]
    always, once = np.array([True, False]), np.array([False, True])
    told = [Told.of(at, always, pack_chunks(codec, np.ones(20, np.float32), always, layout)) for at in (1, 2)]
    told.append(Told.of(3, once, pack_chunks(codec, np.ones(20, np.float32), once, layout)))
    assert often(told, layout).tolist() == [False, False]  # 2 x 2 bytes are no more than 4
    told.append(Told.of(4, always, told[0].packed(codec, layout)))
    assert often(told, layout).tolist() == [True, False]


class Rounding:
    """An encoding that does not give the same when it encodes what it decoded."""

    wire_id = 200

    def value_bytes(self, num_values):
        return 4 * num_values

    def scale_bytes(self, num_chunks):
        return 0

    def pack(self, values_V, sizes_K):
        return (values_V * np.float32(1.1)).view(np.uint8), np.empty(0, np.uint8)

    def unpack(self, packed, scales, sizes_K):
        return packed.view("<f4")


def test_what_cannot_be_merged_to_the_bit_is_replayed_only():
    layout, codec = Layout(30, 5), Rounding()
    start_P, model_P, history = history_of(3, 4, layout, codec)
    assert merged(history, np.zeros(5, bool), codec, layout) is None
    assert heard(start_P, again(history, codec, layout), layout).tobytes() == model_P.tobytes()


@pytest.mark.parametrize(("most", "rounds"), [(10**9, [1, 2, 3, 4]), (25, [3, 4]), (24, [4]), (1, [4])])
def test_a_history_goes_back_as_far_as_it_is_shorter_than_a_model(most, rounds):
    """Twelve bytes a round; the last round is always there, for those who missed nothing else."""
    layout, codec = Layout(10, 5), BUILT_IN["int8"]
    mask_C = np.array([True, True, True, False, False])
    packed = pack_chunks(codec, np.ones(10, np.float32), mask_C, layout)
    history = ()
    for round_index in range(1, 5):
        told = Told.of(round_index, mask_C, packed)
        assert told.num_bytes == 6 + 6
        history = kept(history, told, most)
    assert [told.round_index for told in history] == rounds


def test_what_was_told_since_a_round_is_known_only_as_far_as_the_history_goes():
    layout, codec = Layout(10, 5), BUILT_IN["int8"]
    _, _, history = history_of(0, 6, layout, codec)
    late = history[3:]  # rounds 4, 5, 6
    assert [told.round_index for told in since(late, 3, codec)] == [4, 5, 6]
    assert [told.round_index for told in since(late, 5, codec)] == [6]
    assert since(late, 6, codec) == ()
    assert since(late, 2, codec) is None
    assert since((), 0, codec) is None
    assert since(late, 3, BUILT_IN["int4"]) is None


@given(
    seed=st.integers(0, 2**32 - 1),
    name=st.sampled_from([name for name, codec in BUILT_IN.items() if isinstance(codec, ByValue)]),
    exponent=st.integers(-45, 4),
    zeros=st.floats(0, 1),
)
def test_packed_chunks_that_change_places_are_those_of_a_message_in_that_order(seed, name, exponent, zeros):
    """Of values as small as may be, subnormal numbers among them; an odd number of them shares bytes otherwise."""
    layout, codec, rng = Layout(101, 10), BUILT_IN[name], np.random.default_rng(seed)
    values_P = (rng.standard_normal(101) * 10.0**exponent * (rng.random(101) >= zeros)).astype(np.float32)
    mask_C = rng.random(10) < 0.6
    packed = pack_chunks(codec, values_P, mask_C, layout)
    words_V = codec.words(packed.joined, layout.num_values(mask_C))
    assert codec.joined(words_V).tobytes() == packed.joined.tobytes()

    backwards = np.concatenate(np.split(values_P, layout.bounds[1:-1])[::-1])
    cuts = np.cumsum(layout.sizes_C[mask_C])[:-1]
    turned_V = np.concatenate(np.split(words_V, cuts)[::-1])
    other = Layout(101, 10, (0, *np.cumsum(layout.sizes_C[::-1]).tolist()))
    expected = pack_chunks(codec, backwards, mask_C[::-1], other)
    assert codec.joined(turned_V).tobytes() == expected.joined.tobytes()
