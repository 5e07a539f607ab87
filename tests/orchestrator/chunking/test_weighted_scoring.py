"""Scores that weigh values one by one, against sums written out slowly."""

import math
from itertools import pairwise

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp

from fedchunk.orchestrator.chunking import weighted_scoring
from fedchunk.orchestrator.chunking.layout import Layout

NUMBERS = st.floats(-100, 100, width=32).filter(lambda number: number == 0 or abs(number) > 1e-6)


@st.composite
def layered(draw):
    """A vector, the borders of its parameters, and a cut that does not care for them."""
    sizes_T = draw(st.lists(st.integers(1, 30), min_size=1, max_size=5))
    bounds = np.cumsum([0, *sizes_T])
    vector_P = draw(hnp.arrays(np.float32, int(bounds[-1]), elements=NUMBERS))
    return vector_P, bounds, Layout(int(bounds[-1]), draw(st.integers(1, int(bounds[-1]))))


def slow_layerwise(vector_P, bounds, layout):
    scaled = []
    for begin, end in pairwise(bounds):
        parameter = vector_P[begin:end].tolist()
        rms = math.sqrt(math.fsum(value**2 for value in parameter) / len(parameter))
        scaled += [value / rms if rms else 0 for value in parameter]
    borders = layout.bounds.tolist()
    return [math.hypot(*scaled[a:b]) for a, b in pairwise(borders)]


@given(layered())
def test_layerwise_measures_values_by_their_parameter(model):
    np.testing.assert_allclose(weighted_scoring.layerwise(*model), slow_layerwise(*model), rtol=1e-5)


@given(layered(), st.sampled_from([1e-4, 0.5, 1e4]), st.data())
def test_the_size_of_a_layer_does_not_matter(model, factor, data):
    vector_P, bounds, layout = model
    layer = data.draw(st.integers(0, len(bounds) - 2))
    other_P = vector_P.copy()
    other_P[bounds[layer] : bounds[layer + 1]] *= np.float32(factor)
    np.testing.assert_allclose(
        weighted_scoring.layerwise(other_P, bounds, layout),
        weighted_scoring.layerwise(vector_P, bounds, layout),
        rtol=1e-5,
    )


@pytest.mark.parametrize("scale", [1e-42, 1e-30, 1e30])
def test_layers_of_any_size_keep_their_scores_finite(scale):
    vector_P = np.array([1, 2, 3, 4, 1, 2, 3, 4], np.float32)
    vector_P[4:] *= np.float32(scale)
    scores_C = weighted_scoring.layerwise(vector_P, np.array([0, 4, 8]), Layout(8, 4))
    np.testing.assert_allclose(scores_C[2:], scores_C[:2], rtol=1e-2)  # 1e-42 has few digits


@given(layered(), st.integers(0, 9))
def test_fisher_is_the_norm_of_gradient_times_weight(model, seed):
    gradient_P, _, layout = model
    weights_P = np.random.default_rng(seed).normal(size=layout.num_parameters).astype(np.float32)
    borders = layout.bounds.tolist()
    expected_C = [
        math.hypot(*(float(gradient_P[p]) * float(weights_P[p]) for p in range(a, b))) for a, b in pairwise(borders)
    ]
    np.testing.assert_allclose(
        weighted_scoring.fisher_weighted(gradient_P, weights_P, layout), expected_C, rtol=1e-5, atol=1e-12
    )
