from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from analysis import statistics

importance = hnp.arrays(np.float64, st.integers(1, 40), elements=st.floats(0, 1e300))
masks = hnp.arrays(np.bool_, st.integers(1, 40))
two_masks = st.integers(1, 40).flatmap(lambda n: st.tuples(hnp.arrays(np.bool_, n), hnp.arrays(np.bool_, n)))


def test_selection_counts_counts_clients_by_round_and_skips_the_absent():
    choices = [
        (np.array([1, 3]), np.array([[True, False, True], [True, True, False]])),
        (np.array([3]), np.array([[True, False, False]])),
    ]
    counts = statistics.selection_counts(np.array([1, 2, 3]), choices, 3)
    assert counts.tolist() == [[1, 0, 1], [0, 0, 0], [2, 1, 0]]
    assert statistics.coverage(counts).tolist() == pytest.approx([2 / 3, 0, 2 / 3])
    assert statistics.selection_counts(np.array([3]), choices, 3).tolist() == [[2, 1, 0]]


@given(hnp.arrays(np.int64, st.tuples(st.integers(1, 8), st.integers(1, 8)), elements=st.integers(0, 5)))
def test_coverage_is_the_share_of_chunks_that_anybody_sent(counts_RC):
    covered = statistics.coverage(counts_RC)
    assert ((covered >= 0) & (covered <= 1)).all()
    assert covered.tolist() == [sum(c > 0 for c in row) / len(row) for row in counts_RC.tolist()]


def test_age_statistics():
    ages = np.array([[0, 0, 1], [1, 2, 20]])
    found = statistics.age_statistics(ages)
    assert (found.mean, found.median, found.maximum) == (4.0, 1.0, 20)
    assert found.p95 == pytest.approx(np.percentile([0, 0, 1, 1, 2, 20], 95))
    with pytest.raises(ValueError, match="got no ages"):
        statistics.age_statistics(np.array([]))


def test_gini_and_lorenz_of_known_values():
    assert statistics.gini([1, 1, 1, 1]) == 0.0
    assert statistics.gini([0, 0, 0, 5]) == pytest.approx(0.75)
    assert statistics.gini([4, 3, 2, 1]) == pytest.approx(0.25)  # mean |difference| 5/4, mean 5/2: half of 1/2
    assert statistics.gini([0, 0]) == 0.0
    x, y = statistics.lorenz([3, 0, 1])
    assert x.tolist() == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert y.tolist() == pytest.approx([0, 0, 0.25, 1])
    assert statistics.lorenz([0, 0])[1].tolist() == [0, 0.5, 1]


@pytest.mark.parametrize("bad", [[], [[1, 2]], [1, -1]])
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


def test_effective_chunks():
    assert statistics.effective_chunks([2, 2, 2]) == pytest.approx(3)
    assert statistics.effective_chunks([7, 0, 0]) == pytest.approx(1)
    assert statistics.effective_chunks([0, 0]) == 2


def test_energy_captured_is_the_share_of_squares():
    scores = np.array([[3, 4, 0], [0, 0, 0]], np.float32)
    selected = np.array([[False, True, False], [True, False, False]])
    assert statistics.energy_captured(scores, selected).tolist() == pytest.approx([16 / 25, 1.0])


def test_jaccard_of_known_selections():
    a, b = np.array([True, True, False, False]), np.array([False, True, True, False])
    nothing = np.zeros(4, np.bool_)
    assert statistics.jaccard(a, b) == pytest.approx(1 / 3)
    assert statistics.jaccard(nothing, nothing) == 1.0
    assert statistics.jaccard(a, nothing) == 0.0
    expected = [[1, 1 / 3, 0], [1 / 3, 1, 0], [0, 0, 1]]
    assert statistics.jaccard_matrix(np.stack([a, b, nothing])) == pytest.approx(np.array(expected))


@given(two_masks)
def test_jaccard_is_symmetric_and_a_share(pair):
    a, b = pair
    found = statistics.jaccard(a, b)
    assert 0 <= found <= 1
    assert found == statistics.jaccard(b, a)
    assert (found == 1) == (a == b).all()
    assert statistics.jaccard_matrix(np.stack(pair))[0, 1] == pytest.approx(found)


def test_expected_jaccard_against_all_pairs_of_selections():
    for a, b, C in [(2, 3, 5), (1, 1, 4), (4, 4, 5), (0, 2, 4), (3, 3, 3)]:
        first = set(range(a))
        others = [set(other) for other in combinations(range(C), b)]
        mean = np.mean([len(first & other) / len(first | other) for other in others])
        assert statistics.expected_jaccard(a, b, C) == pytest.approx(mean)
    assert statistics.expected_jaccard(0, 0, 4) == 1.0


def test_expected_jaccard_of_many_chunks_is_near_its_rule_of_thumb():
    assert statistics.expected_jaccard(20_000, 20_000, 25_000) == pytest.approx(2 / 3, abs=1e-3)
    assert statistics.expected_jaccard(250, 250, 25_000) == pytest.approx(250 / (50_000 - 250), rel=0.02)
    assert statistics.expected_jaccard(1, 1, 1_000_000) == pytest.approx(1e-6)


@settings(max_examples=50)
@given(st.integers(1, 300).flatmap(lambda C: st.tuples(st.integers(0, C), st.integers(0, C), st.just(C))))
def test_expected_jaccard_is_symmetric_and_between_the_possible(sizes):
    a, b, C = sizes
    found = statistics.expected_jaccard(a, b, C)
    assert found == pytest.approx(statistics.expected_jaccard(b, a, C))
    most = min(a, b) / max(a, b) if max(a, b) else 1.0
    assert max(0, a + b - C) / C - 1e-9 <= found <= most + 1e-9


def test_expected_jaccard_refuses_sizes_that_cannot_be():
    with pytest.raises(ValueError, match="0 to num_chunks=3 chunks, got 4"):
        statistics.expected_jaccard(4, 1, 3)


def test_chance_correction():
    assert statistics.chance_corrected(1.0, 0.25) == 1.0
    assert statistics.chance_corrected(0.25, 0.25) == 0.0
    assert statistics.chance_corrected(0.0, 0.5) == -1.0
    assert statistics.chance_corrected(1.0, 1.0) is None


def test_agreement_of_three_clients():
    selected = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1]], np.bool_)
    found = statistics.agreement(selected)
    assert found is not None
    assert found.pairs == 3
    assert found.jaccard == pytest.approx(1 / 3)
    # Two of four at random: overlap 2, 1, 0 with chances 1, 4, 1 of 6.
    assert found.expected_jaccard == pytest.approx((1 * 1 + 4 * (1 / 3) + 0) / 6)
    assert statistics.agreement(selected[:1]) is None


def test_random_clients_agree_by_chance_only():
    rng = np.random.default_rng(0)
    selected = np.array([np.isin(np.arange(200), rng.permutation(200)[: rng.integers(20, 60)]) for _ in range(60)])
    found = statistics.agreement(selected)
    assert found is not None
    assert found.chance_corrected == pytest.approx(0, abs=0.01)


def test_ties_go_to_the_lower_chunk_at_both_ends():
    values = np.array([1.0, 5.0, 1.0, 5.0, 1.0])
    assert statistics.top_indices(values, 3) == (1, 3, 0)
    assert statistics.bottom_indices(values, 4) == (0, 2, 4, 1)
    assert statistics.top_indices(values, 9) == (1, 3, 0, 2, 4)
