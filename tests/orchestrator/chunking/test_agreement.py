"""Scores in a byte, one set for all, and scores predicted without asking."""

import hypothesis.strategies as st
import numpy as np
from hypothesis import given
from hypothesis.extra import numpy as hnp

from fedchunk.orchestrator.chunking import agreement, selection

SCORES = hnp.arrays(np.float32, st.integers(1, 40), elements=st.floats(0, 2.0**100, width=32))
STEP = 2 ** (agreement.OCTAVES / 255)


@given(SCORES)
def test_a_byte_keeps_a_score_to_half_a_step_and_zero_to_zero(scores_C):
    peak, bytes_C = agreement.to_bytes(scores_C)
    back_C = agreement.from_bytes(peak, bytes_C).astype(np.float64)
    assert peak == scores_C.max()
    assert bytes_C.dtype == np.uint8
    assert ((bytes_C == 0) == (scores_C == 0)).all()
    within_C = scores_C > peak * 2.0**-agreement.OCTAVES * STEP
    ratios_C = back_C[within_C] / scores_C[within_C]
    assert ((ratios_C < STEP**0.501) & (ratios_C > STEP**-0.501)).all()


@given(SCORES)
def test_bytes_keep_the_order_of_scores_and_the_largest_exactly(scores_C):
    peak, bytes_C = agreement.to_bytes(scores_C)
    assert (np.diff(bytes_C[np.argsort(scores_C)].astype(int)) >= 0).all()
    assert agreement.from_bytes(peak, bytes_C).max() == peak


@given(SCORES)
def test_what_a_byte_returned_survives_a_second_time(scores_C):
    once_C = agreement.from_bytes(*agreement.to_bytes(scores_C))
    assert agreement.from_bytes(*agreement.to_bytes(once_C)).tobytes() == once_C.tobytes()


def test_agreed_scores_are_the_root_of_the_weighted_mean_square():
    scores_NC = np.array([[1, 0, 2], [7, 2, 2]], np.float32)
    agreed_C = agreement.agreed_scores(scores_NC, np.array([3.0, 1.0]))
    np.testing.assert_allclose(agreed_C, np.sqrt([(3 + 49) / 4, 1, 4]), rtol=1e-6)


def test_the_agreed_set_holds_the_most_energy_of_all_clients_together():
    rng = np.random.default_rng(5)
    scores_NC = rng.exponential(size=(6, 9)).astype(np.float32)
    mask_C = selection.best(agreement.agreed_scores(scores_NC, np.ones(6)), 3)
    held = {c: float((scores_NC[:, c].astype(np.float64) ** 2).sum()) for c in range(9)}
    assert set(np.flatnonzero(mask_C)) == set(sorted(held, key=held.get)[-3:])


def run_with_foresight(speeds_C, count, rounds):
    """A model whose chunks gather change at constant speeds; returns how often each was sent, and what was withheld."""
    num_chunks = len(speeds_C)
    rates_C, ages_C = agreement.unseen(num_chunks), np.zeros(num_chunks, np.int32)
    sent_C, withheld_C = np.zeros(num_chunks, int), np.zeros(num_chunks, np.float32)
    for _ in range(rounds):
        withheld_C += speeds_C
        mask_C = selection.best(agreement.predicted(rates_C, ages_C), count)
        rates_C = agreement.observe(rates_C, mask_C, withheld_C, ages_C)
        withheld_C[mask_C] = 0
        ages_C = np.where(mask_C, 0, ages_C + 1)
        sent_C += mask_C
    return sent_C, rates_C


def test_chunks_that_were_never_seen_go_first():
    sent_C, rates_C = run_with_foresight(np.array([100, 1, 100, 1, 1], np.float32), 2, 3)
    assert (sent_C >= 1).all()
    assert rates_C.tolist() == [100, 1, 100, 1, 1]


def test_once_all_were_seen_foresight_is_the_withheld_change_itself():
    speeds_C = np.array([5, 1, 3, 0.5, 2, 4], np.float32)
    _, rates_C = run_with_foresight(speeds_C, 2, 20)
    ages_C = np.array([0, 3, 1, 8, 2, 5], np.int32)
    np.testing.assert_allclose(agreement.predicted(rates_C, ages_C), speeds_C * (ages_C + 1), rtol=1e-6)


@given(
    hnp.arrays(np.float32, 7, elements=st.floats(0.125, 1000, width=32)),
    hnp.arrays(np.int32, 7, elements=st.integers(0, 50)),
    st.sampled_from([0.0, 0.5, 1.0]),
)
def test_a_chunk_seen_now_is_foreseen_as_it_was_after_the_same_wait(norms_C, ages_C, growth):
    everything = np.ones(7, np.bool_)
    rates_C = agreement.observe(agreement.unseen(7), everything, norms_C, ages_C, growth)
    np.testing.assert_allclose(agreement.predicted(rates_C, ages_C, growth), norms_C, rtol=1e-5)


def test_before_anything_was_seen_all_chunks_are_alike():
    assert agreement.predicted(agreement.unseen(3), np.zeros(3, np.int32)).tolist() == [1.0, 1.0, 1.0]


def test_chunks_that_were_not_sent_keep_their_rate():
    rates_C = np.array([1, 2, np.inf], np.float32)
    ages_C, norms_C = np.array([1, 1, 1], np.int32), np.array([8, 9, 9], np.float32)
    sent_C = np.array([True, False, False])
    assert agreement.observe(rates_C, sent_C, norms_C, ages_C).tolist() == [4.0, 2.0, np.inf]
