import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fedchunk.analysis import statistics

importance = hnp.arrays(np.float64, st.integers(1, 40), elements=st.floats(0, 1e300))


def test_age_statistics():
    found = statistics.age_statistics(np.bincount([0, 0, 1, 1, 2, 20]))
    assert (found.mean, found.median, found.p95, found.maximum) == (4.0, 1, 20, 20)
    assert statistics.age_statistics(np.bincount([0] * 95 + [7] * 5)).p95 == 0
    assert statistics.age_statistics(np.bincount([0] * 94 + [7] * 6)).p95 == 7
    with pytest.raises(ValueError, match="got no ages"):
        statistics.age_statistics(np.zeros(3, np.int64))


@given(st.lists(st.integers(0, 30), min_size=1, max_size=60))
def test_percentiles_of_ages_are_the_nearest_rank(ages):
    found = statistics.age_statistics(np.bincount(ages))
    for percent, age in ((50, found.median), (95, found.p95)):
        assert age == np.percentile(ages, percent, method="inverted_cdf")
    assert found.mean == pytest.approx(np.mean(ages))


def test_gini_and_lorenz_of_known_values():
    assert statistics.gini([1, 1, 1, 1]) == 0.0
    assert statistics.gini([0, 0, 0, 5]) == pytest.approx(0.75)
    assert statistics.gini([4, 3, 2, 1]) == pytest.approx(0.25)  # mean |difference| 5/4, mean 5/2: half of 1/2
    assert statistics.gini([0, 0]) == 0.0
    x, y = statistics.lorenz([3, 0, 1])
    assert x.tolist() == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert y.tolist() == pytest.approx([0, 0, 0.25, 1])
    assert statistics.lorenz([0, 0])[1].tolist() == [0, 0.5, 1]


@pytest.mark.parametrize("bad", [[], [[], []], 3.0])
def test_importance_that_is_none_is_refused(bad):
    with pytest.raises(ValueError, match="importance: needs"):
        statistics.gini(bad)


def test_a_score_that_is_not_finite_gives_nan_and_no_warning():
    values = np.array([1.0, np.inf])
    assert np.isnan(statistics.gini(values))
    assert np.isnan(statistics.lorenz(values)[1]).all()
    assert np.isnan(statistics.effective_chunks(values))
    assert np.isnan(statistics.energy_captured(values, np.array([True, False])))


@given(importance)
def test_gini_lies_in_its_range_and_is_twice_the_area_above_the_lorenz_curve(values):
    found = statistics.gini(values)
    assert 0 <= found <= 1 - 1 / len(values) + 1e-9
    x, y = statistics.lorenz(values)
    assert (np.diff(y) >= 0).all()
    assert (y <= x + 1e-9).all()
    area = float(np.sum((y[1:] + y[:-1]) / 2 * np.diff(x)))
    assert found == pytest.approx(1 - 2 * area, abs=1e-9)
    assert 1 - 1e-9 <= statistics.effective_chunks(values) <= len(values) * (1 + 1e-9)


@given(hnp.arrays(np.float64, st.integers(1, 40), elements=st.just(0.0) | st.floats(1e-3, 1e6)), st.floats(1e-3, 1e3))
def test_gini_does_not_depend_on_scale(values, factor):
    assert statistics.gini(values * factor) == pytest.approx(statistics.gini(values), abs=1e-9)


@given(hnp.arrays(np.float64, st.tuples(st.integers(1, 5), st.integers(1, 9)), elements=st.floats(-1, 1e300)))
def test_rows_have_what_each_would_have_by_itself(values_MC):
    ginis, curves = statistics.gini(values_MC), statistics.lorenz(values_MC)[1]
    for row, values_C in enumerate(values_MC):
        assert ginis[row] == pytest.approx(float(statistics.gini(values_C)), nan_ok=True, abs=1e-9)
        assert curves[row] == pytest.approx(statistics.lorenz(values_C)[1], nan_ok=True, abs=1e-9)


def test_effective_chunks():
    assert statistics.effective_chunks([2, 2, 2]) == pytest.approx(3)
    assert statistics.effective_chunks([7, 0, 0]) == pytest.approx(1)
    assert statistics.effective_chunks([0, 0]) == 2


def test_energy_captured_is_the_share_of_squares():
    scores = np.array([[3, 4, 0], [0, 0, 0]], np.float32)
    selected = np.array([[False, True, False], [True, False, False]])
    assert statistics.energy_captured(scores, selected).tolist() == pytest.approx([16 / 25, 1.0])


def test_ties_go_to_the_lower_chunk_at_both_ends():
    values = np.array([1.0, 5.0, 1.0, 5.0, 1.0])
    assert statistics.top_indices(values, 3) == (1, 3, 0)
    assert statistics.bottom_indices(values, 4) == (0, 2, 4, 1)
    assert statistics.top_indices(values, 9) == (1, 3, 0, 2, 4)


def test_of_negative_scores_no_share_has_a_meaning():
    assert np.isnan(statistics.gini([1, -1]))
    assert np.isnan(statistics.lorenz([1, -1])[1]).all()
