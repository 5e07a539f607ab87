"""The rules of a receiver that takes values, without a coordinator, by hand and by property."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from fedchunk.orchestrator.chunking.aggregation import ChunkSum
from fedchunk.orchestrator.chunking.layout import Layout
from fedchunk.orchestrator.chunking.mixing import (
    Contribution,
    Receiver,
    consensus_distance,
    mean_with_neighbours,
    mix_own_weights,
)


def cut(vector_P, mask_C, layout):
    values = np.empty(layout.num_values(mask_C), np.float32)
    layout.cut(vector_P, mask_C, values)
    return values


def spread(mask_C, layout):
    """The mask of chunks as a mask of values."""
    return np.repeat(mask_C, layout.sizes_C)


@st.composite
def federations(draw, everything=False):
    """A layout; and for each client weights, the chunks it sends, and its weight in means."""
    layout = Layout(draw(st.integers(5, 60)), 5)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    clients = draw(st.integers(1, 6))
    models = rng.normal(size=(clients, layout.num_parameters)).astype(np.float32)
    masks = rng.random((clients, 5)) < (2 if everything else 0.5)
    return layout, models, masks, rng.integers(1, 50, clients).astype(float)


def heard(federation, receiver):
    """What a client gets when everybody is everybody's neighbour."""
    layout, models, masks, weights = federation
    contributions = [
        Contribution(client, mask_C, cut(model_P, mask_C, layout), weight)
        for client, (model_P, mask_C, weight) in enumerate(zip(models, masks, weights, strict=True))
    ]
    others = [contribution for contribution in contributions if contribution.client_id != receiver]
    return Receiver(receiver, models[receiver], weights[receiver]), others


@given(federations(everything=True))
def test_in_a_complete_graph_with_every_chunk_everybody_gets_the_bits_of_plain_federated_averaging(federation):
    layout, models, _, weights = federation
    total = sum(model_P.astype(np.float64) * weight for model_P, weight in zip(models, weights, strict=True))
    expected_P = (total / weights.sum()).astype(np.float32)
    for client in range(len(models)):
        assert np.array_equal(mean_with_neighbours(*heard(federation, client), layout), expected_P)


@given(federations(everything=True))
def test_in_a_complete_graph_with_every_chunk_the_mean_has_the_bits_of_a_star(federation):
    layout, models, masks, weights = federation
    total = ChunkSum(layout)
    for model_P, mask_C, weight in zip(models, masks, weights, strict=True):
        total.add(mask_C, model_P, weight)
    star_P = total.means_in(np.empty(layout.num_parameters, np.float32))
    assert np.array_equal(mean_with_neighbours(*heard(federation, 0), layout), star_P)


@given(federations())
def test_the_mean_is_over_the_receiver_and_those_who_sent_the_chunk(federation):
    layout, models, masks, weights = federation
    receiver, others = heard(federation, 0)
    counts = np.array([spread(mask_C, layout) for mask_C in masks]) * weights[:, None]
    counts[0] = weights[0]
    expected_P = (counts * models.astype(np.float64)).sum(axis=0) / counts.sum(axis=0)
    got_P = mean_with_neighbours(receiver, others, layout)
    np.testing.assert_allclose(got_P, expected_P, rtol=1e-6, atol=1e-7)
    unheard_P = ~spread(np.logical_or.reduce([np.zeros(5, bool), *masks[1:]]), layout)
    assert np.array_equal(got_P[unheard_P], models[0][unheard_P])


@given(federations(), st.randoms())
def test_the_order_of_arrival_changes_no_bit(federation, random):
    layout, models, *_ = federation
    receiver, others = heard(federation, len(models) - 1)
    shuffled = random.sample(others, len(others))
    for rule in (mean_with_neighbours, mix_own_weights):
        assert np.array_equal(rule(receiver, others, layout), rule(receiver, shuffled, layout))


@given(federations())
def test_own_weights_is_the_seeds_sentence_written_out(federation):
    """For each neighbour, a chunk it did not send is filled with the receiver's own weights, then all are averaged."""
    layout, models, masks, weights = federation
    receiver, others = heard(federation, 0)
    filled = [
        np.where(spread(mask_C, layout), model_P, models[0]) for model_P, mask_C in zip(models, masks, strict=True)
    ]
    expected_P = np.average(np.array(filled, np.float64), axis=0, weights=weights)
    np.testing.assert_allclose(mix_own_weights(receiver, others, layout), expected_P, rtol=1e-6, atol=1e-7)


@given(federations(everything=True))
def test_own_weights_with_every_chunk_is_dense_averaging(federation):
    layout, models, _, weights = federation
    expected_P = np.average(models.astype(np.float64), axis=0, weights=weights)
    got_P = mix_own_weights(*heard(federation, 0), layout)
    np.testing.assert_allclose(got_P, expected_P, rtol=1e-6, atol=1e-7)


def test_who_sent_little_damps_own_weights_but_not_the_mean():
    layout = Layout(4, 2)
    receiver = Receiver(2, np.zeros(4, np.float32), 1.0)
    one = Contribution(0, np.array([True, False]), np.array([8, 4], np.float32), 2.0)
    silent = Contribution(1, np.array([False, False]), np.empty(0, np.float32), 1.0)
    assert (
        mean_with_neighbours(receiver, [one, silent], layout).tolist()
        == np.array([16 / 3, 8 / 3, 0, 0], np.float32).tolist()
    )
    assert mix_own_weights(receiver, [one, silent], layout).tolist() == [4.0, 2.0, 0.0, 0.0]


def test_a_client_that_hears_nobody_keeps_its_bits():
    layout = Layout(3, 2)
    own_P = np.array([0.1, -3e-9, 7e20], np.float32)
    for rule in (mean_with_neighbours, mix_own_weights):
        assert np.array_equal(rule(Receiver(0, own_P, 3.0), [], layout), own_P)


def test_consensus_distance_by_hand():
    assert consensus_distance([np.array([1, 2], np.float32)]) == 0.0
    # The mean is (1, 3); the squared distances from it are 1 + 9, 1 + 9 and 0.
    models = [np.array(values, np.float32) for values in ((0, 0), (2, 6), (1, 3))]
    assert consensus_distance(iter(models)) == pytest.approx(20 / 3)


@given(federations())
def test_consensus_distance_is_its_formula(federation):
    _, models, *_ = federation
    exact = np.square(models - models.mean(axis=0, dtype=np.float64)).sum(axis=1).mean()
    assert consensus_distance(models) == pytest.approx(exact, rel=1e-9, abs=1e-12)


def test_consensus_distance_of_nearly_equal_models_keeps_its_digits():
    base_P = np.full(1000, 1000.0, np.float32)
    models = [base_P, base_P + np.float32(2**-13)]
    assert consensus_distance(models) == pytest.approx(1000 * 2.0**-28, rel=1e-9)
    assert consensus_distance([base_P] * 7) == 0.0
