"""One pass over a client's vectors finds what each question alone would, bit for bit."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from fedchunk.orchestrator.chunking.layout import Layout
from fedchunk.orchestrator.chunking.moves import Asked, Keeping, Moves, moves
from fedchunk.orchestrator.chunking.square_sums import blocks, square_sum, squared_norms

ALL = Asked(moves=True, lengths=True, withheld=True)
LAYOUTS = [
    Layout(200_000, 40),
    Layout(200_003, 3000),
    Layout.at_tensors(np.cumsum([0, 3, 90_000, 5, 700, 70_000]), 300),
]


def vectors(layout, count, seed=0):
    rows = np.random.default_rng(seed).normal(size=(count, layout.num_parameters)).astype(np.float32)
    rows[:, :2000] *= 1e-25  # squares of float32 lose these
    rows[:, 5000:5600] = 0
    return rows


@given(st.integers(1, 300_000), st.integers(1, 900))
def test_blocks_cover_the_vector_once(num_parameters, num_chunks):
    layout = Layout(num_parameters, min(num_chunks, num_parameters))
    parts = blocks(layout)
    assert [part.start for part in parts] == [0, *(part.stop for part in parts[:-1])]
    assert parts[-1].stop == num_parameters
    assert max(part.stop - part.start for part in parts) < 2 * 65_536


@pytest.mark.parametrize("layout", LAYOUTS)
def test_blocks_are_added_in_any_order(layout):
    (vector_P,) = vectors(layout, 1)
    total = square_sum(layout)
    for number, part in reversed(list(enumerate(blocks(layout)))):
        total.add(number, vector_P[part])
    in_order = square_sum(layout)
    for number, part in enumerate(blocks(layout)):
        in_order.add(number, vector_P[part])
    assert total.squares_C().tobytes() == in_order.squares_C().tobytes()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("before_is_known", [True, False])
@pytest.mark.parametrize("withholds", [True, False])
def test_all_at_once_is_what_each_alone_would_be(layout, before_is_known, withholds):
    before_P, after_P, withheld_P = vectors(layout, 3)
    out_P = np.empty_like(before_P)
    keeping = Keeping(withheld_P if withholds else None, out_P)
    known_C = squared_norms(before_P, layout) if before_is_known else None
    found = moves(before_P, after_P, layout, ALL, keeping, known_C)
    difference_P = after_P - before_P
    kept_P = withheld_P + difference_P if withholds else difference_P
    assert out_P.tobytes() == kept_P.tobytes()
    assert found.squares.difference_C.tobytes() == squared_norms(difference_P, layout).tobytes()
    assert found.squares.u_C.tobytes() == squared_norms(after_P, layout).tobytes()
    assert found.squares.v_C.tobytes() == squared_norms(before_P, layout).tobytes()
    assert found.withheld_C.tobytes() == squared_norms(kept_P, layout).tobytes()


def test_what_is_not_asked_for_is_not_there():
    layout = LAYOUTS[0]
    before_P, after_P = vectors(layout, 2)
    assert moves(before_P, after_P, layout, Asked()) == Moves()
    only = moves(before_P, after_P, layout, Asked(moves=True))
    assert only.squares.u_C is None
    assert only.squares.v_C is None
    assert only.withheld_C is None
    kept = Keeping(None, np.empty_like(before_P))
    assert moves(before_P, after_P, layout, Asked(), kept) == Moves()
    assert np.array_equal(kept.out_P, after_P - before_P)
