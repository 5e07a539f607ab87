"""The cut: every value in exactly one chunk, whatever P and C."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp

from fedchunk.orchestrator.chunking.layout import Layout


@st.composite
def flat_layouts(draw):
    num_parameters = draw(st.integers(1, 300))
    short = Layout(num_parameters, draw(st.integers(1, num_parameters)))
    long = Layout(num_parameters + 1500, draw(st.integers(1, 5)))
    return draw(st.sampled_from([short, long]))


@st.composite
def tensor_layouts(draw):
    sizes = draw(st.lists(st.integers(1, 40) | st.integers(300, 900), min_size=1, max_size=6))
    return Layout.at_tensors(np.cumsum([0, *sizes]), draw(st.integers(1, sum(sizes))))


def layouts():
    return flat_layouts() | tensor_layouts()


@st.composite
def cuts(draw):
    layout = draw(layouts())
    vector_P = draw(hnp.arrays(np.float32, layout.num_parameters, elements=st.floats(-1e6, 1e6, width=32)))
    return layout, vector_P, draw(hnp.arrays(np.bool_, layout.num_chunks))


@given(flat_layouts())
def test_each_value_is_in_exactly_one_chunk_and_sizes_differ_by_at_most_one(layout):
    covered = np.zeros(layout.num_parameters, int)
    for start, stop in zip(layout.bounds[:-1], layout.bounds[1:], strict=True):
        covered[start:stop] += 1
    assert (covered == 1).all()
    assert layout.sizes_C.max() - layout.sizes_C.min() <= 1
    assert layout.sizes_C.min() >= 1


def test_borders_are_those_of_the_design():
    layout = Layout(25_557_032, 50)
    assert layout.bounds.tolist() == [c * 25_557_032 // 50 for c in range(51)]


@given(cuts())
def test_cut_and_paste_is_the_identity_on_the_chosen_chunks_and_touches_nothing_else(cut):
    layout, vector_P, mask_C = cut
    values = np.empty(layout.num_values(mask_C), np.float32)
    layout.cut(vector_P, mask_C, values)
    out_P = np.full(layout.num_parameters, np.nan, np.float32)
    layout.paste(values, mask_C, out_P)
    chosen_P = np.repeat(mask_C, layout.sizes_C)
    assert np.array_equal(out_P[chosen_P], vector_P[chosen_P])
    assert np.isnan(out_P[~chosen_P]).all()


@pytest.mark.parametrize("layout", [Layout(90, 11), Layout(5000, 11), Layout.at_tensors(np.array([0, 4000, 4003]), 9)])
@given(st.data())
def test_some_chunks_are_found_among_those_that_were_cut(layout, data):
    vector_P = np.arange(layout.num_parameters, dtype=np.float32)
    kept_C = data.draw(hnp.arrays(np.bool_, layout.num_chunks))
    wanted_C = kept_C & data.draw(hnp.arrays(np.bool_, layout.num_chunks))
    cut = np.empty(layout.num_values(kept_C), np.float32)
    layout.cut(vector_P, kept_C, cut)
    found = [(vector_P[place], cut[source]) for place, source in layout.places_among(wanted_C, kept_C)]
    assert all(np.array_equal(values, copied) for values, copied in found)
    values = np.concatenate([values for values, _ in found]) if found else cut[:0]
    assert np.array_equal(values, vector_P[np.repeat(wanted_C, layout.sizes_C)])


@pytest.mark.parametrize("share", [0.0, 0.01, 0.099, 0.101, 0.6, 1.0])
def test_few_values_of_short_chunks_are_picked_as_many_are(share):
    layout, rng = Layout(64_050, 1000), np.random.default_rng(4)
    mask_C = rng.random(1000) < share
    mask_P, vector_P = np.repeat(mask_C, layout.sizes_C), rng.standard_normal(64_050).astype(np.float32)
    cut = np.empty(mask_P.sum(), np.float32)
    layout.cut(vector_P, mask_C, cut)
    assert cut.tobytes() == vector_P[mask_P].tobytes()
    twice_P = vector_P.copy()
    layout.add(cut, mask_C, twice_P)
    assert twice_P.tobytes() == np.where(mask_P, vector_P + vector_P, vector_P).tobytes()
    layout.paste(cut, mask_C, twice_P)
    assert twice_P.tobytes() == vector_P.tobytes()


def test_chunks_that_were_not_cut_are_not_found():
    with pytest.raises(ValueError, match="not kept"):
        Layout(90, 2).places_among(np.array([True, True]), np.array([True, False]))


@given(cuts())
def test_add_adds_each_value_once(cut):
    layout, vector_P, mask_C = cut
    values = vector_P[np.repeat(mask_C, layout.sizes_C)]
    out_P = np.ones(layout.num_parameters, np.float32)
    layout.add(values, mask_C, out_P)
    assert np.array_equal(out_P, np.where(np.repeat(mask_C, layout.sizes_C), vector_P + np.float32(1), 1))


@given(layouts(), st.data(), st.integers(1, 2000))
def test_blocks_of_chunks_cover_the_chosen_chunks_in_order_and_keep_to_their_size(layout, data, values):
    mask_C = data.draw(hnp.arrays(np.bool_, layout.num_chunks))
    blocks = layout.chunk_blocks(mask_C, values)
    assert [chunk for first, last in blocks for chunk in range(first, last)] == np.flatnonzero(mask_C).tolist()
    for first, last in blocks:
        assert last - first == 1 or layout.bounds[last] - layout.bounds[first] <= values


@given(layouts(), st.data())
def test_runs_join_neighbours(layout, data):
    mask_C = data.draw(hnp.arrays(np.bool_, layout.num_chunks))
    runs = layout.runs(mask_C)
    assert sum(stop - start for start, stop in runs) == layout.num_values(mask_C)
    assert all(runs[i][1] < runs[i + 1][0] for i in range(len(runs) - 1))


@pytest.mark.parametrize(("num_parameters", "num_chunks"), [(10, 0), (10, 11), (10, -1), (0, 1)])
def test_a_cut_that_would_leave_a_chunk_empty_is_refused_with_the_limit(num_parameters, num_chunks):
    with pytest.raises(ValueError, match=f"between 1 and {num_parameters}"):
        Layout(num_parameters, num_chunks)


@given(layouts(), layouts())
def test_fingerprints_differ_exactly_when_layouts_do(one, other):
    assert (one.fingerprint == other.fingerprint) == (one == other)
