"""One pass over the vectors of a group finds what each question about each client alone would, bit for bit."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from fedchunk.orchestrator.chunking.layout import Layout
from fedchunk.orchestrator.chunking.moves import Asked, Keeping, Moves, moves
from fedchunk.orchestrator.chunking.square_sums import blocks, square_sums, squared_norms

ALL = Asked(moves=True, lengths=True, withheld=True)
LAYOUTS = [
    Layout(200_000, 40),
    Layout(200_003, 180),
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
def test_blocks_and_vectors_are_added_in_any_order(layout):
    rows = vectors(layout, 3)
    total, in_order = square_sums(layout, 3), square_sums(layout, 3)
    parts = [(row, block, part) for row in range(3) for block, part in enumerate(blocks(layout))]
    for row, block, part in parts:
        in_order.add(row, block, rows[row, part])
    for row, block, part in np.random.default_rng(1).permutation(np.array(parts, object)).tolist():
        total.add(row, block, rows[row, part])
    assert total.squares_GC().tobytes() == in_order.squares_GC().tobytes()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shared", [(), (0, 0, 0, 0), (0, 1, 1, 2)])
@pytest.mark.parametrize("withholds", [True, False])
def test_all_at_once_is_what_each_alone_would_be(layout, shared, withholds):
    befores, afters, withheld = vectors(layout, 4, 0), vectors(layout, 4, 1), vectors(layout, 4, 2)
    starts = [befores[row] for row in range(4)]
    if shared:
        starts = [starts[row] for row in shared]
    out = np.empty_like(befores)
    keeping = [Keeping(withheld[row] if withholds else None, out[row]) for row in range(4)]
    found = moves(starts, list(afters), layout, ALL, keeping)
    for row, (before_P, after_P) in enumerate(zip(starts, afters, strict=True)):
        difference_P = after_P - before_P
        kept_P = withheld[row] + difference_P if withholds else difference_P
        squares = found.squares.row(row)
        assert out[row].tobytes() == kept_P.tobytes()
        assert squares.difference_C.tobytes() == squared_norms(difference_P, layout).tobytes()
        assert squares.u_C.tobytes() == squared_norms(after_P, layout).tobytes()
        assert squares.v_C.tobytes() == squared_norms(before_P, layout).tobytes()
        assert found.withheld_GC[row].tobytes() == squared_norms(kept_P, layout).tobytes()


def test_what_is_not_asked_for_is_not_there():
    layout = LAYOUTS[0]
    before_P, after_P = vectors(layout, 2)
    assert moves([before_P], [after_P], layout, Asked()) == Moves()
    assert moves([], [], layout, ALL) == Moves()
    only = moves([before_P], [after_P], layout, Asked(moves=True))
    assert only.squares.u_C is None
    assert only.squares.v_C is None
    assert only.withheld_GC is None
    kept = Keeping(None, np.empty_like(before_P))
    assert moves([before_P], [after_P], layout, Asked(), [kept]) == Moves()
    assert np.array_equal(kept.out_P, after_P - before_P)
