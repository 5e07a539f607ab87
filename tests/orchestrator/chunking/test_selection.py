"""Which chunks go: ranks, ties, and the promise of a maximal age."""

import hypothesis.strategies as st
import numpy as np
from hypothesis import given
from hypothesis.extra import numpy as hnp

from fedchunk.orchestrator.chunking import selection

SCORES = hnp.arrays(np.float32, st.integers(1, 40), elements=st.sampled_from([0.0, 0.5, 1.0, 2.0, 7.0]))
DIVERGED = hnp.arrays(np.float32, st.integers(1, 40), elements=st.sampled_from([0.0, 1.0, np.inf, np.nan]))


@given(SCORES, st.data())
def test_the_best_chunks_are_chosen_and_ties_go_to_the_lower_index(scores_C, data):
    count = data.draw(st.integers(0, len(scores_C)))
    mask_C = selection.best(scores_C, count)
    ranked = sorted(range(len(scores_C)), key=lambda c: (-scores_C[c], c))
    assert sorted(np.flatnonzero(mask_C).tolist()) == sorted(ranked[:count])


@given(DIVERGED, st.data())
def test_what_is_no_number_goes_last(scores_C, data):
    count = data.draw(st.integers(0, len(scores_C)))
    ranked = sorted(range(len(scores_C)), key=lambda c: (np.isnan(scores_C[c]), -scores_C[c], c))
    assert sorted(np.flatnonzero(selection.best(scores_C, count)).tolist()) == sorted(ranked[:count])


@given(SCORES, st.data())
def test_overdue_chunks_go_first_by_age_then_the_best_of_the_rest(scores_C, data):
    num_chunks = len(scores_C)
    ages_C = np.array(data.draw(st.lists(st.integers(0, 6), min_size=num_chunks, max_size=num_chunks)), np.int32)
    count, max_age = data.draw(st.integers(0, num_chunks)), data.draw(st.integers(1, 6))
    mask_C = selection.best_with_oldest_first(scores_C, count, ages_C, max_age)
    late = sorted((c for c in range(num_chunks) if ages_C[c] >= max_age), key=lambda c: (-ages_C[c], -scores_C[c], c))
    rest = sorted((c for c in range(num_chunks) if ages_C[c] < max_age), key=lambda c: (-scores_C[c], c))
    assert sorted(np.flatnonzero(mask_C).tolist()) == sorted((late + rest)[:count])


@given(st.integers(1, 30), st.integers(1, 5), st.integers(0, 5), st.integers(0, 99))
def test_no_chunk_ever_waits_longer_than_the_maximal_age(num_chunks, max_age, wanted, seed):
    rng = np.random.default_rng(seed)
    importance_C = rng.exponential(size=num_chunks)
    ages_C = np.zeros(num_chunks, np.int32)
    for _ in range(4 * max_age):
        count = max(min(wanted, num_chunks), int((ages_C >= max_age).sum()))
        scores_C = (importance_C * rng.uniform(0.9, 1.1, num_chunks)).astype(np.float32)
        mask_C = selection.best_with_oldest_first(scores_C, count, ages_C, max_age)
        assert mask_C.sum() == count
        ages_C = np.where(mask_C, 0, ages_C + 1)
        assert ages_C.max() <= max_age
