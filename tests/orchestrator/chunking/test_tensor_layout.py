"""The cut at tensors' borders: no chunk holds values of two, and as alike in size as that allows."""

from fractions import Fraction
from itertools import pairwise

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from fedchunk.orchestrator.chunking import codecs
from fedchunk.orchestrator.chunking.chunk_costs import sizes_by_cost
from fedchunk.orchestrator.chunking.layout import Layout
from fedchunk.orchestrator.chunking.tensor_pieces import pieces_of

SIZES = st.lists(st.integers(1, 9) | st.integers(1, 400), min_size=1, max_size=12)
RESNET_LIKE = (9408, 64, 64, 36864, 64, 64, 147456, 128, 128, 512000, 1000)


@st.composite
def cuts(draw):
    sizes = draw(SIZES)
    return sizes, draw(st.integers(1, sum(sizes)))


def layout_of(sizes, parts):
    return Layout.at_tensors(np.cumsum([0, *sizes]), parts)


def slow_pieces(sizes, num_chunks):
    """One chunk after the other, to the tensor whose chunks are longest by then."""
    pieces = [1] * len(sizes)
    while sum(pieces) < num_chunks:
        means = [Fraction(size, count) for size, count in zip(sizes, pieces, strict=True)]
        pieces[means.index(max(means))] += 1
    return pieces


@given(cuts())
def test_each_value_is_in_one_chunk_and_each_chunk_in_one_tensor(cut):
    sizes, parts = cut
    layout = layout_of(sizes, parts)

    assert layout.num_chunks == max(parts, len(sizes)) == len(layout.sizes_C)
    assert layout.bounds[0] == 0
    assert layout.bounds[-1] == layout.num_parameters == sum(sizes)
    assert (np.diff(layout.bounds) > 0).all()
    assert set(np.cumsum(sizes).tolist()) <= set(layout.bounds.tolist())


@given(cuts())
def test_sizes_keep_to_what_is_said_of_them(cut):
    sizes, parts = cut
    layout, tensors = layout_of(sizes, parts), len(sizes)
    starts = np.searchsorted(layout.bounds, np.cumsum([0, *sizes]))
    of_tensors = [layout.sizes_C[first:stop] for first, stop in pairwise(starts)]

    assert all(ours.max() - ours.min() <= 1 for ours in of_tensors)
    if parts > tensors:
        assert layout.longest <= -(-sum(sizes) // (parts - tensors))
    else:
        assert layout.sizes_C.tolist() == sizes
    assert all(2 * ours.min() >= layout.longest - 2 for ours in of_tensors if len(ours) > 1)


@given(cuts())
def test_chunks_are_shared_out_one_by_one_to_the_longest(cut):
    sizes, parts = cut
    num_chunks = max(parts, len(sizes))

    assert pieces_of(np.array(sizes), num_chunks).tolist() == slow_pieces(sizes, num_chunks)


def test_a_large_model_is_cut_as_one_by_one():
    assert pieces_of(np.array(RESNET_LIKE), 1000).tolist() == slow_pieces(RESNET_LIKE, 1000)


@given(st.integers(1, 300), st.data())
def test_one_tensor_is_cut_as_the_flat_vector_is(size, data):
    parts = data.draw(st.integers(1, size))

    assert layout_of([size], parts).bounds.tolist() == Layout(size, parts).bounds.tolist()


@given(cuts(), cuts())
def test_ends_with_other_cuts_have_other_fingerprints(one, other):
    ours, theirs = layout_of(*one), layout_of(*other)

    assert (ours.fingerprint == theirs.fingerprint) == (ours == theirs)
    assert ours.fingerprint != Layout(ours.num_parameters, ours.num_chunks).fingerprint


def test_a_tensor_without_values_has_no_chunk():
    assert Layout.at_tensors(np.array([0, 3, 3, 5]), 1).bounds.tolist() == [0, 3, 5]


def test_more_chunks_than_values_are_refused_with_the_limit():
    with pytest.raises(ValueError, match="chunking_parts must be between 1 and 5"):
        Layout.at_tensors(np.array([0, 3, 5]), 6)


@given(cuts(), st.sampled_from(list(codecs.BUILT_IN)), st.data())
def test_no_choice_of_k_chunks_costs_less_than_the_first_or_more_than_the_last_by_cost(cut, encoding, data):
    layout, codec = layout_of(*cut), codecs.BUILT_IN[encoding]
    chosen = data.draw(st.lists(st.integers(0, layout.num_chunks - 1), unique=True))
    by_cost_C, count = sizes_by_cost(layout, codec), len(chosen)
    least, most = by_cost_C[:count], by_cost_C[layout.num_chunks - count :]

    assert sorted(by_cost_C.tolist()) == sorted(layout.sizes_C.tolist())
    assert codec.value_bytes(least) <= codec.value_bytes(layout.sizes_C[chosen]) <= codec.value_bytes(most)
