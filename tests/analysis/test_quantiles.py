import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fedchunk.analysis.quantiles import GROWTH, QuantileSketch

PERCENT = (0, 5, 25, 50, 75, 95, 100)
sizes = st.just(0.0) | st.floats(1e-6, 1e6)
numbers = hnp.arrays(np.float64, st.integers(1, 60), elements=sizes | sizes.map(lambda size: -size))


def sketch_of(*blocks):
    sketch = QuantileSketch(1)
    for block in blocks:
        sketch.add(np.zeros(len(block), np.intp), block)
    return sketch.quantiles(PERCENT)[:, 0]


@given(numbers)
def test_each_quantile_is_off_by_less_than_a_bucket(values):
    """Of what it lies between: two numbers of opposite sign may meet near 0, where a share of the mean says little."""
    exact = np.percentile(values, PERCENT)
    around = np.maximum(
        np.abs(np.percentile(values, PERCENT, method="lower")), np.abs(np.percentile(values, PERCENT, method="higher"))
    )
    assert (np.abs(sketch_of(values) - exact) <= (GROWTH - 1) * around + 1e-9).all()


@given(hnp.arrays(np.float64, st.integers(1, 40), elements=st.integers(0, 20).map(lambda power: 2.0**power - 1)))
def test_numbers_that_share_no_bucket_have_their_exact_quantiles(values):
    assert sketch_of(values).tolist() == pytest.approx(np.percentile(values, PERCENT).tolist(), rel=1e-12)


@given(numbers, st.integers(0, 60))
def test_blocks_are_as_good_as_the_whole(values, border):
    assert sketch_of(values[:border], values[border:]) == pytest.approx(sketch_of(values), rel=1e-9, abs=1e-12)


def test_groups_are_kept_apart_and_an_empty_one_has_none():
    sketch = QuantileSketch(3)
    sketch.add(np.array([[0, 2], [0, 2]]), np.array([[1.0, 5.0], [3.0, 5.0]]))
    found = sketch.quantiles([50])[0]
    assert found[0] == pytest.approx(2)
    assert np.isnan(found[1])
    assert found[2] == pytest.approx(5)


def test_beyond_its_range_a_number_counts_as_one_of_the_last_bucket():
    assert sketch_of(np.array([1e-12, 1e12]))[[0, -1]].tolist() == [1e-12, 1e12]
