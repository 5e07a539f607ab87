"""Scores and distances, against formulas written out slowly."""

import math

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp

from fedchunk.orchestrator.chunking import distance, scoring, selection
from fedchunk.orchestrator.chunking.layout import Layout
from fedchunk.orchestrator.chunking.square_sums import squared_norms
from fedchunk.orchestrator.core.seeds import generator

SCORES = hnp.arrays(np.float32, st.integers(1, 40), elements=st.floats(0, 1e6, width=32))
SMALLEST = 1e-38
"""Below it float32 has fewer digits."""


def chunks_of(vector_P, layout):
    return [vector_P[a:b].astype(np.float64) for a, b in zip(layout.bounds[:-1], layout.bounds[1:], strict=True)]


def exact_squared_norms(vector_P, layout):
    return [np.sum(chunk**2) for chunk in chunks_of(vector_P, layout)]


@given(st.integers(1, 200_000), st.integers(1, 500), st.integers(0, 9))
def test_norms_are_the_l2_norms_of_the_chunks_whatever_their_length(num_parameters, num_chunks, seed):
    layout = Layout(num_parameters, min(num_chunks, num_parameters))
    vector_P = np.random.default_rng(seed).normal(size=num_parameters).astype(np.float32)
    expected_C = exact_squared_norms(vector_P, layout)
    np.testing.assert_allclose(squared_norms(vector_P, layout), expected_C, rtol=1e-6)
    np.testing.assert_allclose(scoring.norms(vector_P, layout), np.sqrt(expected_C), rtol=1e-6)


@given(st.lists(st.integers(1, 9) | st.integers(500, 70_000), min_size=1, max_size=5), st.data(), st.integers(0, 9))
def test_norms_of_chunks_of_very_different_lengths(sizes, data, seed):
    layout = Layout.at_tensors(np.cumsum([0, *sizes]), data.draw(st.integers(1, min(sum(sizes), 400))))
    vector_P = np.random.default_rng(seed).normal(size=layout.num_parameters).astype(np.float32)
    np.testing.assert_allclose(squared_norms(vector_P, layout), exact_squared_norms(vector_P, layout), rtol=1e-6)


@pytest.mark.parametrize("scale", [1e-42, 1e-30, 1e12, 3e38])
def test_short_and_long_chunks_keep_their_digits_side_by_side(scale):
    layout = Layout.at_tensors(np.cumsum([0, 3, 9000, 5, 700, 2000]), 9)
    vector_P = np.random.default_rng(1).uniform(0.3, 1, size=layout.num_parameters).astype(np.float32)
    vector_P[layout.bounds[2] : layout.bounds[4]] *= np.float32(scale)
    np.testing.assert_allclose(squared_norms(vector_P, layout), exact_squared_norms(vector_P, layout), rtol=1e-6)


@pytest.mark.parametrize("chunk_values", [40, 511, 512, 513, 2047, 2048, 2049, 5000])
@pytest.mark.parametrize("scale", [1e-42, 1e-30, 1e-12, 1e12, 3e38])
def test_norms_keep_their_digits_where_float32_squares_would_lose_them(chunk_values, scale):
    layout = Layout(7 * chunk_values + 3, 7)
    vector_P = np.random.default_rng(1).uniform(0.3, 1, size=layout.num_parameters).astype(np.float32)
    vector_P[layout.bounds[2] : layout.bounds[4]] *= np.float32(scale)
    np.testing.assert_allclose(squared_norms(vector_P, layout), exact_squared_norms(vector_P, layout), rtol=1e-6)


@pytest.mark.parametrize("chunk_values", [40, 5000])
def test_a_chunk_of_zeros_has_norm_zero_and_one_that_is_not_finite_spoils_no_other(chunk_values):
    layout = Layout(4 * chunk_values + 1, 4)
    vector_P = np.ones(layout.num_parameters, np.float32)
    vector_P[layout.bounds[1] : layout.bounds[2]] = 0
    vector_P[layout.bounds[2]] = np.inf
    sizes_C = layout.sizes_C
    assert squared_norms(vector_P, layout).tolist() == [sizes_C[0], 0, np.inf, sizes_C[3]]


@pytest.mark.parametrize("lie", ["in runs", "scattered"])
@pytest.mark.parametrize("values_of_a_chunk", [16, 64.05, 64.0005, 300, 1000])
def test_many_chunks_of_zeros_and_of_tiny_values_are_exact(values_of_a_chunk, lie):
    """Of sizes that are equal in runs, or turn after turn: whoever adds them in other ways must find the same."""
    layout = Layout(200_000, int(200_000 / values_of_a_chunk))
    vector_P = np.random.default_rng(5).standard_normal(200_000).astype(np.float32)
    chunks = np.arange(layout.num_chunks)
    zero_C, tiny_C = (
        (chunks // 20 % 4 == 0, chunks // 20 % 4 == 2) if lie == "in runs" else (chunks % 5 == 0, chunks % 7 == 3)
    )
    vector_P[np.repeat(tiny_C, layout.sizes_C)] *= np.float32(1e-15)
    vector_P[np.repeat(zero_C, layout.sizes_C)] = 0
    found_C = squared_norms(vector_P, layout)
    assert not found_C[zero_C].any()
    np.testing.assert_allclose(found_C, exact_squared_norms(vector_P, layout), rtol=1e-6)


def test_relative_scores_are_change_over_weight_and_a_change_of_nothing_goes_first():
    layout = Layout(8, 4)
    update_P = np.array([3, 4, 0, 0, 0, 2, 1, 0], np.float32)
    weights_P = np.array([0, 10, 0, 0, 0, 0, 0, 0.5], np.float32)
    assert scoring.relative(update_P, weights_P, layout).tolist() == [0.5, 0.0, 4.0, 2.0]
    assert scoring.relative(update_P, np.zeros(8, np.float32), layout).tolist() == [1.0, 0.0, 1.0, 1.0]


@given(st.integers(1, 30), st.integers(0, 29), st.lists(st.integers(0, 30), min_size=1, max_size=20))
def test_in_turn_every_chunk_goes_in_any_rounds_that_send_as_many_whatever_the_counts(num_chunks, first, counts):
    ages_C = np.zeros(num_chunks, np.int32)
    masks = []
    for count in counts:
        masks.append(selection.best(scoring.round_robin(ages_C, first % num_chunks), count))
        ages_C = np.where(masks[-1], 0, ages_C + 1)
    for start in range(len(masks)):
        for stop in range(start + 1, len(masks) + 1):
            window = np.array(masks[start:stop])
            assert window.sum() < num_chunks or window.any(axis=0).all()


def test_chunks_in_turn_go_in_order_from_the_clients_own_first_one():
    fresh_C, later_C = np.zeros(5, np.int32), np.array([1, 1, 0, 0, 1], np.int32)
    assert np.flatnonzero(selection.best(scoring.round_robin(fresh_C, 0), 2)).tolist() == [0, 1]
    assert np.flatnonzero(selection.best(scoring.round_robin(fresh_C, 4), 2)).tolist() == [0, 4]
    assert np.flatnonzero(selection.best(scoring.round_robin(later_C, 2), 2)).tolist() == [0, 4]


@given(SCORES)
def test_scores_per_value_are_energy_per_value_and_equal_sizes_change_nothing(scores_C):
    sizes_C = np.arange(1, len(scores_C) + 1)
    expected = [
        math.sqrt(float(score) ** 2 / size * sizes_C.mean()) for score, size in zip(scores_C, sizes_C, strict=True)
    ]
    layout = Layout.at_tensors(np.cumsum([0, *sizes_C]), 1)
    np.testing.assert_allclose(scoring.per_value(scores_C, layout), expected, rtol=1e-6, atol=SMALLEST)
    same_C = scoring.per_value(scores_C, Layout(7 * len(scores_C), len(scores_C)))
    assert same_C.tobytes() == scores_C.tobytes()


@given(SCORES, st.floats(0, 10))
def test_age_multiplies_a_score_by_a_power(scores_C, exponent):
    ages_C = np.arange(len(scores_C), dtype=np.int32)
    expected = [float(score) * (age + 1) ** exponent for age, score in enumerate(scores_C)]
    np.testing.assert_allclose(scoring.with_age(scores_C, ages_C, exponent), expected, rtol=1e-6, atol=SMALLEST)
    assert scoring.with_age(scores_C, ages_C, 0).tobytes() == scores_C.tobytes()


def test_an_aged_score_stays_finite():
    aged_C = scoring.with_age(np.array([1e30], np.float32), np.array([10**6], np.int32), 10)
    assert aged_C.tolist() == [np.finfo(np.float32).max]


def test_random_scores_depend_on_seed_round_and_client():
    draws = {
        (seed, round_index, client): scoring.at_random(8, generator(seed, "selection", round_index, client)).tobytes()
        for seed in (1, 2)
        for round_index in (1, 2)
        for client in (0, 1)
    }
    assert len(set(draws.values())) == len(draws)
    assert scoring.at_random(8, generator(1, "selection", 1, 0)).tobytes() == draws[1, 1, 0]


@pytest.mark.parametrize(
    ("metric", "formula"),
    [
        ("euclidean", lambda u, v: np.sqrt(np.sum((u - v) ** 2))),
        ("coordinate", lambda u, v: np.sum(np.abs(u - v))),
        ("cosine", lambda u, v: 1 - u @ v / (np.linalg.norm(u) * np.linalg.norm(v))),
    ],
)
def test_distances_are_the_three_formulas(metric, formula):
    rng = np.random.default_rng(3)
    layout = Layout(1000, 7)
    u_P, v_P = rng.normal(size=(2, 1000)).astype(np.float32)
    expected = [formula(u, v) for u, v in zip(chunks_of(u_P, layout), chunks_of(v_P, layout), strict=True)]
    np.testing.assert_allclose(distance.distances(metric, u_P, v_P, layout), expected, rtol=1e-5)


@pytest.mark.parametrize("step", [1e-1, 1e-2, 1e-3])
def test_the_cosine_distance_of_a_small_move_keeps_its_digits(step):
    rng = np.random.default_rng(4)
    layout = Layout(2000, 5)
    v_P = rng.normal(size=2000).astype(np.float32)
    u_P = v_P + np.float32(step) * rng.normal(size=2000).astype(np.float32)
    exact = [
        1 - u @ v / (np.linalg.norm(u) * np.linalg.norm(v))
        for u, v in zip(
            chunks_of(u_P.astype(np.longdouble), layout), chunks_of(v_P.astype(np.longdouble), layout), strict=True
        )
    ]
    found_C = distance.distances("cosine", u_P, v_P, layout)
    np.testing.assert_allclose(found_C, np.array(exact, np.float64), rtol=5e-3)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_distances_from_squares_that_are_known_are_the_same(metric):
    layout = Layout(1000, 7)
    us_GP, vs_GP = np.random.default_rng(6).normal(size=(2, 3, 1000)).astype(np.float32)
    us_GP[1, :200] = vs_GP[1, :200] = 0
    squared = (np.array([squared_norms(row_P, layout) for row_P in rows]) for rows in (us_GP - vs_GP, us_GP, vs_GP))
    squares = distance.Squares(*squared)
    known_GC = distance.by_squares(metric, squares)
    for row, (u_P, v_P) in enumerate(zip(us_GP, vs_GP, strict=True)):
        alone_C = distance.distances(metric, u_P, v_P, layout)
        assert known_GC[row].tobytes() == alone_C.tobytes()
        assert distance.by_squares(metric, squares.row(row)).tobytes() == alone_C.tobytes()


def test_cosine_distance_of_zero_vectors_is_defined():
    u_P = np.array([0, 0, 1, 0, 0, 0], np.float32)
    v_P = np.array([0, 0, 0, 0, 2, 0], np.float32)
    assert distance.distances("cosine", u_P, v_P, Layout(6, 3)).tolist() == [0.0, 1.0, 1.0]


def test_cosine_distance_of_a_vector_to_itself_is_not_negative():
    u_P = np.random.default_rng(0).normal(size=300).astype(np.float32)
    assert (distance.distances("cosine", u_P, u_P, Layout(300, 9)) >= 0).all()
