"""The rules that make one chunk of many, by hand, beside Flower for 20 rounds, and by property."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import assume, given

from fedchunk.orchestrator.chunking.aggregation import ChunkSum
from fedchunk.orchestrator.chunking.layout import Layout
from fedchunk.orchestrator.methods.aggregation import _closeness
from fedchunk.orchestrator.methods.aggregation.fedavg import fedavg
from fedchunk.orchestrator.methods.aggregation.fedprox import fedprox
from fedchunk.orchestrator.methods.aggregation.krum import krum
from fedchunk.orchestrator.methods.aggregation.median import median
from fedchunk.orchestrator.methods.aggregation.multi_krum import multi_krum
from fedchunk.orchestrator.methods.aggregation.trimmed_mean import trimmed_mean

RULES = (fedavg, fedprox, median, trimmed_mean, krum, multi_krum)


def column(*values):
    """Clients that sent one value each."""
    return np.array(values, np.float32)[:, None]


def ones(values_NK):
    return np.ones(len(values_NK))


@st.composite
def contributions(draw, least=1):
    """Values and weights of some clients; values are drawn in a way that makes equal ones likely, or not."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    clients, size = draw(st.integers(least, 12)), draw(st.integers(1, 9))
    centre, scale = draw(st.sampled_from([0, 1000])), draw(st.sampled_from([1e-3, 1, 1e30]))
    values_NK = (centre + scale * rng.normal(size=(clients, size))).astype(np.float32)
    if draw(st.booleans()):
        values_NK = np.rint(values_NK)
    return values_NK, rng.integers(1, 50, clients).astype(np.float64)


def test_the_weighted_mean_by_hand():
    values_NK, weights_N = column(1, 2, 6), np.array([1.0, 2.0, 1.0])

    assert fedavg(values_NK, weights_N).tolist() == [2.75]
    assert fedprox(values_NK, weights_N).tolist() == [2.75]


@given(contributions())
def test_the_weighted_mean_has_the_bits_of_the_sum_that_it_stands_for(drawn):
    values_NK, weights_N = drawn
    size = values_NK.shape[1]
    sums = ChunkSum(Layout(size, 1))
    for values_K, weight in zip(values_NK, weights_N, strict=True):
        sums.add(np.array([True]), values_K, float(weight))
    expected_K = sums.means_in(np.empty(size, np.float32))

    assert np.array_equal(fedavg(values_NK, weights_N), expected_K)
    assert np.array_equal(fedprox(values_NK, weights_N), expected_K)


def test_the_median_by_hand():
    assert median(column(5, -1, 99), np.ones(3)).tolist() == [5]
    assert median(column(5, -1, 99, 8), np.ones(4)).tolist() == [6.5]
    assert median(column(3, 4), np.ones(2)).tolist() == [3.5]


def test_the_median_of_the_largest_floats_is_finite():
    largest = np.finfo(np.float32).max

    assert median(column(largest, largest), np.ones(2)).tolist() == [largest]


def test_the_trimmed_mean_by_hand():
    values_NK = column(0, 1, 2, 3, 4, 5, 6, 7, 8, 964)

    assert trimmed_mean(values_NK, np.ones(10)).tolist() == [4.5]
    assert trimmed_mean(values_NK[1:], np.ones(9), beta=0.25).tolist() == [5]
    assert trimmed_mean(values_NK, np.ones(10), beta=0).tolist() == [100]


@pytest.mark.parametrize(("values", "expected"), [([7], 7), ([7, 9], 8), ([7, 9, 99], 9), ([0, 7, 9, 99], 8)])
def test_trimming_few_leaves_somebody_and_takes_the_extremes_of_three_and_four(values, expected):
    for beta in (0.01, 0.2, 0.49):
        assert trimmed_mean(column(*values), np.ones(len(values)), beta=beta).tolist() == [expected]


def test_krum_by_hand():
    values_NK = column(0, 1, 3, 7, 100)

    # squared distances to the two nearest: 1 + 9, 1 + 4, 4 + 9, 16 + 36, ...
    assert krum(values_NK, np.ones(5), num_malicious=1).tolist() == [1]
    # and to the three nearest: 1 + 9 + 49, 1 + 4 + 36, 4 + 9 + 16, 16 + 36 + 49, ...
    assert krum(values_NK, np.ones(5)).tolist() == [3]


def test_multi_krum_by_hand():
    values_NK, weights_N = column(0, 1, 3, 7, 100), np.array([1.0, 3.0, 2.0, 1.0, 9.0])

    # of the two nearest: 1 (5) and 0 (10), then 3 (13)
    assert multi_krum(values_NK, weights_N, num_malicious=1).tolist() == [1]
    assert multi_krum(values_NK, weights_N, num_malicious=1, to_keep=2).tolist() == [0.75]
    assert multi_krum(values_NK, weights_N, num_malicious=1, to_keep=3).tolist() == [1.5]


def test_of_equal_scores_the_first_in_client_order_wins():
    assert krum(column(5, 1, 2), np.ones(3)).tolist() == [1]
    assert krum(column(5, 2, 1), np.ones(3)).tolist() == [2]


@pytest.mark.parametrize("rule", [krum, multi_krum])
def test_liars_that_agree_do_not_win_among_few(rule):
    honest, liars = [0, 1, 2], [100, 100]
    values_NK = column(*honest, *liars)

    assert rule(values_NK, np.ones(5), num_malicious=2).tolist() == [2]  # the median; the liars' own score is 0


@pytest.mark.parametrize(("clients", "malicious"), [(1, 0), (2, 0), (3, 1), (4, 1), (6, 2), (3, 9)])
def test_with_too_few_for_its_promise_krum_is_the_median(clients, malicious):
    values_NK = np.random.default_rng(1).normal(size=(clients, 6)).astype(np.float32)

    for rule in (krum, multi_krum):
        assert np.array_equal(rule(values_NK, ones(values_NK), malicious), median(values_NK, ones(values_NK)))


def test_multi_krum_never_keeps_as_many_as_may_lie():
    values_NK = column(1, 2, 3, 2, 1e6)

    assert multi_krum(values_NK, np.ones(5), num_malicious=1, to_keep=99).tolist() == [2]


@given(contributions(least=3))
def test_multi_krum_that_keeps_one_is_krum_and_that_keeps_all_the_mean(drawn):
    values_NK, weights_N = drawn

    assert np.array_equal(multi_krum(values_NK, weights_N, to_keep=1), krum(values_NK, weights_N))
    assert np.array_equal(multi_krum(values_NK, weights_N, to_keep=99), fedavg(values_NK, weights_N))


@given(contributions())
def test_distances_are_those_of_the_definition(drawn):
    values_NK = drawn[0].astype(np.float64)
    expected_NN = np.square(values_NK[:, None] - values_NK).sum(axis=2)

    got_NN = _closeness.squared_distances(drawn[0])

    np.testing.assert_allclose(got_NN, expected_NN, rtol=1e-6, atol=1e-12 * expected_NN.max())
    assert np.array_equal(got_NN, got_NN.T)
    assert (got_NN >= 0).all()
    assert not got_NN.diagonal().any()


def test_distances_are_the_same_whatever_the_blocks(monkeypatch):
    values_NK = np.random.default_rng(2).normal(size=(4, 1000)).astype(np.float32)
    whole_NN = _closeness.squared_distances(values_NK)

    monkeypatch.setattr(_closeness, "BLOCK_VALUES", 4 * 7)

    np.testing.assert_allclose(_closeness.squared_distances(values_NK), whole_NN, rtol=1e-12, atol=1e-12)


def test_distances_keep_their_digits_far_from_0():
    values_NK = np.array([[1e6, 1e6], [1e6 + 0.0625, 1e6], [1e6, 1e6 + 0.125]], np.float32)

    distances_NN = _closeness.squared_distances(values_NK)

    np.testing.assert_allclose(distances_NN[0], [0, 0.0625**2, 0.125**2], rtol=1e-9)


@pytest.mark.parametrize(
    ("case", "rule", "options"),
    [
        ("fedavgm_without", fedavg, {}),
        ("fedavgm_without", fedprox, {}),
        ("fedmedian", median, {}),
        ("fedtrimmedavg", trimmed_mean, {}),
        ("krum", krum, {"num_malicious": 1}),
        ("multikrum", multi_krum, {"num_malicious": 2, "to_keep": 3}),
    ],
)
def test_the_models_are_flowers(case, rule, options, largest_difference):
    def of_models(model_P, answers_NP, weights_N):
        return rule(answers_NP, weights_N, **options)

    def of_changes(model_P, answers_NP, weights_N):
        return model_P + rule(answers_NP - model_P, weights_N, **options)

    assert largest_difference(case, of_models) < 1e-6
    assert largest_difference(case, of_changes) < 1e-6


@pytest.mark.parametrize("rule", RULES)
@given(drawn=contributions())
def test_one_contributor_gives_its_values(rule, drawn):
    values_NK, weights_N = drawn

    assert np.array_equal(rule(values_NK[:1], weights_N[:1]), values_NK[0])


@pytest.mark.parametrize("rule", [median, trimmed_mean])
@given(drawn=contributions(), data=st.data())
def test_order_and_weights_do_not_matter_to_the_bits_of_sorted_rules(rule, drawn, data):
    values_NK, weights_N = drawn
    order = data.draw(st.permutations(range(len(values_NK))))

    assert np.array_equal(rule(values_NK, weights_N), rule(values_NK[order], np.ones(len(order))))


@pytest.mark.parametrize("rule", [fedavg, fedprox])
@given(drawn=contributions(), data=st.data())
def test_order_matters_to_the_last_bits_of_the_mean_only(rule, drawn, data):
    values_NK, weights_N = drawn
    order = data.draw(st.permutations(range(len(values_NK))))

    size = np.abs(values_NK).max()
    np.testing.assert_allclose(
        rule(values_NK, weights_N), rule(values_NK[order], weights_N[order]), rtol=1e-6, atol=1e-12 * size
    )


@given(st.integers(0, 2**32 - 1), st.integers(5, 12), st.integers(0, 1), st.data())
def test_without_equal_scores_order_does_not_matter_to_krum(seed, clients, malicious, data):
    rng = np.random.default_rng(seed)
    values_NK, weights_N = rng.normal(size=(clients, 5)).astype(np.float32), rng.integers(1, 9, clients).astype(float)
    order = data.draw(st.permutations(range(clients)))
    assume(len(np.unique(values_NK[:, 0])) == clients)

    assert np.array_equal(krum(values_NK, weights_N, malicious), krum(values_NK[order], weights_N[order], malicious))
    np.testing.assert_allclose(
        multi_krum(values_NK, weights_N, malicious, to_keep=3),
        multi_krum(values_NK[order], weights_N[order], malicious, to_keep=3),
        rtol=1e-5,
        atol=1e-6,
    )


@pytest.mark.parametrize("rule", RULES)
@given(drawn=contributions())
def test_the_result_lies_among_the_values(rule, drawn):
    values_NK, weights_N = drawn

    result_K = rule(values_NK, weights_N)

    assert (values_NK.min(axis=0) <= result_K).all()
    assert (result_K <= values_NK.max(axis=0)).all()


@given(contributions(least=3), st.data())
def test_a_minority_cannot_pull_the_median_out_of_the_honest_values(drawn, data):
    honest_NK, _ = drawn
    liars = data.draw(st.integers(0, len(honest_NK) - 1))
    lies_NK = np.full((liars, honest_NK.shape[1]), 3e38, np.float32)

    result_K = median(np.vstack([honest_NK, lies_NK]), np.ones(len(honest_NK) + liars))

    assert (honest_NK.min(axis=0) <= result_K).all()
    assert (result_K <= honest_NK.max(axis=0)).all()


@given(contributions(least=3))
def test_one_liar_of_four_or_more_cannot_pull_a_trimmed_mean_out_of_the_honest_values(drawn):
    honest_NK, _ = drawn
    lies_NK = np.full((1, honest_NK.shape[1]), -3e38, np.float32)

    result_K = trimmed_mean(np.vstack([honest_NK, lies_NK]), np.ones(len(honest_NK) + 1))

    assert (honest_NK.min(axis=0) <= result_K).all()
    assert (result_K <= honest_NK.max(axis=0)).all()


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("clients", [1, 2, 7])
def test_what_comes_in_is_only_read_and_what_comes_out_is_new(rule, clients):
    values_NK = np.random.default_rng(3).normal(size=(clients, 11)).astype(np.float32)
    weights_N = ones(values_NK)
    for array in (values_NK, weights_N):
        array.setflags(write=False)

    result_K = rule(values_NK, weights_N)

    assert result_K.dtype == np.float32
    assert result_K.shape == (11,)
    assert result_K.flags.writeable
    assert not np.shares_memory(result_K, values_NK)
