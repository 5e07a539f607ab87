from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fedchunk.analysis import overlap

two_masks = st.integers(1, 40).flatmap(lambda n: st.tuples(hnp.arrays(np.bool_, n), hnp.arrays(np.bool_, n)))


def test_jaccard_of_known_selections():
    a, b = np.array([True, True, False, False]), np.array([False, True, True, False])
    nothing = np.zeros(4, np.bool_)
    assert overlap.jaccard(a, b) == pytest.approx(1 / 3)
    assert overlap.jaccard(nothing, nothing) == 1.0
    assert overlap.jaccard(a, nothing) == 0.0
    expected = [[1, 1 / 3, 0], [1 / 3, 1, 0], [0, 0, 1]]
    assert overlap.jaccard_matrix(np.stack([a, b, nothing])) == pytest.approx(np.array(expected))


@given(two_masks)
def test_jaccard_is_symmetric_and_a_share(pair):
    a, b = pair
    found = overlap.jaccard(a, b)
    assert 0 <= found <= 1
    assert found == overlap.jaccard(b, a)
    assert (found == 1) == (a == b).all()
    assert overlap.jaccard_matrix(np.stack(pair))[0, 1] == pytest.approx(found)


def test_expected_jaccard_against_all_pairs_of_selections():
    for a, b, C in [(2, 3, 5), (1, 1, 4), (4, 4, 5), (0, 2, 4), (3, 3, 3)]:
        first = set(range(a))
        others = [set(other) for other in combinations(range(C), b)]
        mean = np.mean([len(first & other) / len(first | other) for other in others])
        assert overlap.expected_jaccard(a, b, C) == pytest.approx(mean)
    assert overlap.expected_jaccard(0, 0, 4) == 1.0


def test_expected_jaccard_of_many_chunks_is_near_its_rule_of_thumb():
    assert overlap.expected_jaccard(20_000, 20_000, 25_000) == pytest.approx(2 / 3, abs=1e-3)
    assert overlap.expected_jaccard(250, 250, 25_000) == pytest.approx(250 / (50_000 - 250), rel=0.02)
    assert overlap.expected_jaccard(1, 1, 1_000_000) == pytest.approx(1e-6)


@settings(max_examples=50)
@given(st.integers(1, 300).flatmap(lambda C: st.tuples(st.integers(0, C), st.integers(0, C), st.just(C))))
def test_expected_jaccard_is_symmetric_and_between_the_possible(sizes):
    a, b, C = sizes
    found = overlap.expected_jaccard(a, b, C)
    assert found == pytest.approx(overlap.expected_jaccard(b, a, C))
    most = min(a, b) / max(a, b) if max(a, b) else 1.0
    assert max(0, a + b - C) / C - 1e-9 <= found <= most + 1e-9


def test_expected_jaccard_refuses_sizes_that_cannot_be():
    with pytest.raises(ValueError, match="0 to num_chunks=3 chunks, got 4"):
        overlap.expected_jaccard(4, 1, 3)


def test_chance_correction():
    assert overlap.chance_corrected(1.0, 0.25) == 1.0
    assert overlap.chance_corrected(0.25, 0.25) == 0.0
    assert overlap.chance_corrected(0.0, 0.5) == -1.0
    assert overlap.chance_corrected(1.0, 1.0) is None


def test_agreement_of_three_clients():
    selected = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1]], np.bool_)
    found = overlap.agreement(selected)
    assert found is not None
    assert found.pairs == 3
    assert found.jaccard == pytest.approx(1 / 3)
    # Two of four at random: overlap 2, 1, 0 with chances 1, 4, 1 of 6.
    assert found.expected_jaccard == pytest.approx((1 * 1 + 4 * (1 / 3) + 0) / 6)
    assert overlap.agreement(selected[:1]) is None


def test_random_clients_agree_by_chance_only():
    rng = np.random.default_rng(0)
    selected = np.array([np.isin(np.arange(200), rng.permutation(200)[: rng.integers(20, 60)]) for _ in range(60)])
    found = overlap.agreement(selected)
    assert found is not None
    assert found.chance_corrected == pytest.approx(0, abs=0.01)


@given(st.integers(2, 12).flatmap(lambda n: hnp.arrays(np.bool_, (n, 9))), st.sampled_from([1, 30, 10**6]))
def test_agreement_is_the_mean_over_pairs_whatever_the_block(selected_NC, block):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(overlap, "BLOCK", block)
        found = overlap.agreement(selected_NC)
        matrix = overlap.expected_matrix(selected_NC.sum(axis=1), 9)
    pairs = list(combinations(range(len(selected_NC)), 2))
    sizes = selected_NC.sum(axis=1)
    assert found is not None
    assert found.pairs == len(pairs)
    assert found.jaccard == pytest.approx(np.mean([overlap.jaccard(selected_NC[i], selected_NC[j]) for i, j in pairs]))
    by_chance = [overlap.expected_jaccard(int(sizes[i]), int(sizes[j]), 9) for i, j in pairs]
    assert [matrix[i, j] for i, j in pairs] == pytest.approx(by_chance)
    assert found.expected_jaccard == pytest.approx(np.mean(by_chance))


def test_rows_are_compared_with_rows():
    rows = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 0], [0, 0, 0]], np.bool_)
    assert overlap.row_jaccard(rows[:-1], rows[1:]).tolist() == [0.5, 0, 1]
    assert overlap.row_jaccard(rows[:0], rows[:0]).tolist() == []


def test_correction_of_arrays_is_that_of_numbers():
    found = overlap.chance_corrected_all(np.array([1.0, 0.0, 1.0, np.nan]), np.array([0.25, 0.5, 1.0, 0.5]))
    assert found[:2].tolist() == [1.0, -1.0]
    assert np.isnan(found[2:]).all()
