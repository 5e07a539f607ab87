"""Scores, distances, selection and sensitivity, against formulas written out slowly."""

import math
from fractions import Fraction

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp

from orchestrator.chunking import distance, scoring, selection, sensitivity
from orchestrator.chunking.layout import Layout
from orchestrator.seeds import generator

SCORES = hnp.arrays(np.float32, st.integers(1, 40), elements=st.floats(0, 1e6, width=32))


def chunks_of(vector_P, layout):
    return [vector_P[a:b].astype(np.float64) for a, b in zip(layout.bounds[:-1], layout.bounds[1:], strict=True)]


@given(st.integers(1, 200_000), st.integers(1, 500), st.integers(0, 9))
def test_norms_are_the_l2_norms_of_the_chunks_whatever_the_block_size(num_parameters, num_chunks, seed):
    layout = Layout(num_parameters, min(num_chunks, num_parameters))
    vector_P = np.random.default_rng(seed).normal(size=num_parameters).astype(np.float32)
    expected = [np.sqrt(np.sum(chunk**2)) for chunk in chunks_of(vector_P, layout)]
    np.testing.assert_allclose(scoring.norms(vector_P, layout), expected, rtol=1e-6)


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


def test_cosine_distance_of_zero_vectors_is_defined():
    u_P = np.array([0, 0, 1, 0, 0, 0], np.float32)
    v_P = np.array([0, 0, 0, 0, 2, 0], np.float32)
    assert distance.distances("cosine", u_P, v_P, Layout(6, 3)).tolist() == [0.0, 1.0, 1.0]


def test_cosine_distance_of_a_vector_to_itself_is_not_negative():
    u_P = np.random.default_rng(0).normal(size=300).astype(np.float32)
    assert (distance.distances("cosine", u_P, u_P, Layout(300, 9)) >= 0).all()


@given(SCORES, st.data())
def test_the_best_chunks_are_chosen_and_ties_go_to_the_lower_index(scores_C, data):
    count = data.draw(st.integers(1, len(scores_C)))
    mask_C = selection.best(scores_C, count)
    ranked = sorted(range(len(scores_C)), key=lambda c: (-scores_C[c], c))
    assert sorted(np.flatnonzero(mask_C).tolist()) == sorted(ranked[:count])


@given(st.integers(1, 10_000), st.decimals("0.001", 100, places=3))
def test_fixed_sensitivity_is_the_exact_ceiling_of_the_decimal_that_was_written(num_chunks, percentage):
    exact = math.ceil(Fraction(percentage) * num_chunks / 100)
    assert sensitivity.fixed(num_chunks, float(percentage)) == max(1, exact)


@given(SCORES, st.floats(0.01, 1.0), st.integers(1, 50))
def test_dynamic_sensitivity_is_the_smallest_count_that_holds_the_energy(scores_C, share, ceiling):
    count = sensitivity.energy(scores_C, share, ceiling)
    energies = np.sort(scores_C.astype(np.float64) ** 2)[::-1]
    assert 1 <= count <= max(1, min(ceiling, len(scores_C)))
    if count < ceiling:
        assert energies[:count].sum() >= share * energies.sum() * (1 - 1e-12)
    if count > 1:
        assert energies[: count - 1].sum() < share * energies.sum() * (1 + 1e-12)


def test_dynamic_sensitivity_never_throws_the_ceiling_away():
    assert sensitivity.energy(np.ones(50, np.float32), 0.95, ceiling=40) == 40


def test_random_scores_depend_on_seed_round_and_client():
    draws = {
        (seed, round_index, client): scoring.at_random(8, generator(seed, "selection", round_index, client)).tobytes()
        for seed in (1, 2)
        for round_index in (1, 2)
        for client in (0, 1)
    }
    assert len(set(draws.values())) == len(draws)
    assert scoring.at_random(8, generator(1, "selection", 1, 0)).tobytes() == draws[1, 1, 0]
