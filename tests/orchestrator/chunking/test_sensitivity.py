"""How many chunks go: each rule against its formula written out slowly, or against its source."""

import math
from fractions import Fraction

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp
from kneed import KneeLocator

from fedchunk.orchestrator.chunking import sensitivity

SCORES = hnp.arrays(np.float32, st.integers(1, 40), elements=st.floats(0, 1e6, width=32))
SPREADS = {
    "exponential": lambda rng, size: rng.exponential(size=size),
    "heavy": lambda rng, size: rng.pareto(1.5, size=size),
    "uniform": lambda rng, size: rng.uniform(size=size),
    "normal": lambda rng, size: np.abs(rng.normal(size=size)),
}


@given(st.integers(1, 10_000), st.decimals("0.001", 100, places=3))
def test_fixed_sensitivity_is_the_exact_ceiling_of_the_decimal_that_was_written(num_chunks, percentage):
    exact = math.ceil(Fraction(percentage) * num_chunks / 100)
    assert sensitivity.fixed(num_chunks, float(percentage)) == max(1, exact)


def test_a_schedule_names_the_percentage_of_each_round_and_its_last_stays():
    assert [sensitivity.schedule((25.0, 5.0), round_index) for round_index in (1, 2, 3, 100)] == [25.0, 5.0, 5.0, 5.0]


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


@given(SCORES, st.floats(0.001, 1e6))
def test_a_threshold_counts_the_scores_that_reach_it(scores_C, value):
    assert sensitivity.threshold(scores_C, value) == sum(1 for score in scores_C if score >= value)


@pytest.mark.parametrize("spread", SPREADS)
@pytest.mark.parametrize("num_chunks", [2, 3, 10, 50, 400])
@pytest.mark.parametrize("seed", range(4))
def test_the_knee_is_what_the_package_kneed_finds(spread, num_chunks, seed):
    scores_C = SPREADS[spread](np.random.default_rng(seed), num_chunks).astype(np.float32)
    held_C = np.cumsum(np.sort(scores_C.astype(np.float64) ** 2)[::-1])
    curve = np.concatenate(([0.0], held_C / held_C[-1]))
    found = KneeLocator(np.arange(num_chunks + 1), curve, S=1.0, curve="concave", direction="increasing").knee
    assert sensitivity.knee(scores_C) == found


@pytest.mark.parametrize("seed", range(4))
def test_scores_that_are_all_alike_have_no_knee(seed):
    alike_C = np.random.default_rng(seed).uniform(0.95, 1.05, size=1000).astype(np.float32)
    assert sensitivity.knee(alike_C) is None
    assert sensitivity.knee(np.ones(1, np.float32)) is None
    assert sensitivity.knee(np.zeros(9, np.float32)) is None


def test_the_knee_is_where_important_chunks_end():
    assert sensitivity.knee(np.array([0.1, 7, 0.2, 6, 0.1, 8, 0.1, 0.2], np.float32)) == 3


def fedpilots_keep_percentage(weights_P):
    """FedPilot's rule as its code does it: prune 101 times, compare by cosine, take the nearest to (1, 1)."""
    order = np.argsort(np.abs(weights_P), kind="stable")
    distances = []
    for percent in range(101):
        pruned_P = weights_P.copy()
        pruned_P[order[: round(percent / 100 * len(weights_P))]] = 0
        lengths = np.linalg.norm(weights_P) * np.linalg.norm(pruned_P)
        cosine = np.clip(weights_P @ pruned_P / lengths, -1, 1) if lengths > 0 else 0.0
        distances.append(np.hypot(1 - cosine, 1 - percent / 100))
    return 100 - int(np.argmin(distances))


@pytest.mark.parametrize("draw", ["normal", "laplace", "uniform", "standard_cauchy"])
@pytest.mark.parametrize("seed", range(3))
def test_utopia_is_fedpilots_rule_on_the_magnitudes(draw, seed):
    weights_P = getattr(np.random.default_rng(seed), draw)(size=4000)
    if draw == "uniform":
        weights_P -= 0.5
    closed = 100 * sensitivity.utopia(np.abs(weights_P).astype(np.float32)) / len(weights_P)
    assert abs(closed - fedpilots_keep_percentage(weights_P)) <= 1


@given(SCORES)
def test_utopia_is_the_point_nearest_to_everything_for_nothing(scores_C):
    count = sensitivity.utopia(scores_C)
    energies = np.sort(scores_C.astype(np.float64) ** 2)[::-1]
    assert 1 <= count <= len(scores_C)
    if energies.sum() > 0:
        distances = [
            math.hypot(1 - math.sqrt(min(1.0, energies[:k].sum() / energies.sum())), k / len(scores_C))
            for k in range(1, len(scores_C) + 1)
        ]
        assert distances[count - 1] <= min(distances) + 1e-9


@given(st.integers(1, 500), st.integers(0, 10_000), st.integers(0, 300), st.integers(1, 80))
def test_a_budget_is_never_exceeded_and_used_as_far_as_whole_chunks_go(num_chunks, available, overhead, chunk):
    def message_bytes(count):
        return overhead + chunk * count + count // 2

    count = sensitivity.budget(num_chunks, available, message_bytes)
    assert 0 <= count <= num_chunks
    assert count == 0 or message_bytes(count) <= available
    assert count == num_chunks or message_bytes(count + 1) > available or message_bytes(0) > available
