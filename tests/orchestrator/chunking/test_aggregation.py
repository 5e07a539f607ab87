"""Means over contributors and the two receiver rules, by hand and by property."""

import hypothesis.strategies as st
import numpy as np
from hypothesis import given

from orchestrator.chunking.aggregation import BufferMean, ChunkSum
from orchestrator.chunking.layout import Layout
from orchestrator.chunking.reconstruction import from_contributors, with_own_weights

LAYOUT = Layout(7, 3)  # 0..2, 2..4, 4..7


def values_of(vector_P, mask_C, layout=LAYOUT):
    out = np.empty(layout.num_values(mask_C), np.float32)
    layout.cut(vector_P, mask_C, out)
    return out


def summed(clients, layout=LAYOUT):
    total = ChunkSum(layout)
    for vector_P, mask_C, weight in clients:
        total.add(mask_C, values_of(vector_P, mask_C, layout), weight)
    return total


def test_a_chunk_is_the_weighted_mean_of_those_who_sent_it_and_stays_where_nobody_did():
    one = (np.full(7, 2, np.float32), np.array([True, True, False]), 1.0)
    two = (np.full(7, 8, np.float32), np.array([True, False, False]), 3.0)
    own_P = np.full(7, -1, np.float32)
    sent_C = summed([one, two]).write_means(own_P)
    assert sent_C.tolist() == [True, True, False]
    assert own_P.tolist() == [6.5, 6.5, 2, 2, -1, -1, -1]


@st.composite
def federations(draw):
    layout = Layout(draw(st.integers(4, 60)), 4)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count = draw(st.integers(1, 6))
    clients = [
        (rng.normal(size=layout.num_parameters).astype(np.float32), rng.random(4) < 0.6, float(rng.integers(1, 50)))
        for _ in range(count)
    ]
    return layout, clients


@given(federations())
def test_all_chunks_from_all_clients_is_plain_federated_averaging(federation):
    layout, clients = federation
    everything = [(vector_P, np.ones(4, bool), weight) for vector_P, _, weight in clients]
    out_P = np.empty(layout.num_parameters, np.float32)
    summed(everything, layout).write_means(out_P)
    total = np.zeros(layout.num_parameters)
    for vector_P, _, weight in everything:
        total += vector_P.astype(np.float64) * weight
    assert np.array_equal(out_P, (total / sum(weight for *_, weight in everything)).astype(np.float32))


@given(federations(), st.randoms())
def test_the_order_of_clients_does_not_matter_beyond_the_last_bit(federation, random):
    layout, clients = federation
    shuffled = random.sample(clients, len(clients))
    one_P, other_P = np.zeros(layout.num_parameters, np.float32), np.zeros(layout.num_parameters, np.float32)
    summed(clients, layout).write_means(one_P)
    summed(shuffled, layout).write_means(other_P)
    np.testing.assert_allclose(one_P, other_P, rtol=1e-6, atol=1e-7)


@given(federations())
def test_own_weights_is_the_seeds_sentence_written_out(federation):
    """For each sender, a chunk it did not send is filled with the receiver's own weights, then all are averaged."""
    layout, clients = federation
    own_P = np.random.default_rng(1).normal(size=layout.num_parameters).astype(np.float32)
    weight = sum(w for *_, w in clients)
    expected_P = sum(
        w / weight * np.where(np.repeat(mask_C, layout.sizes_C), vector_P, own_P).astype(np.float64)
        for vector_P, mask_C, w in clients
    )
    total = summed(clients, layout)
    means_P = own_P.copy()
    sent_C = total.write_means(means_P)
    shares_K = (total.weights_C / weight).astype(np.float32)[sent_C]
    got_P = with_own_weights(own_P, sent_C, values_of(means_P, sent_C, layout), shares_K, layout)
    np.testing.assert_allclose(got_P, expected_P, rtol=1e-4, atol=1e-5)


@given(federations())
def test_contributors_takes_what_arrived_and_keeps_the_rest(federation):
    layout, [(vector_P, mask_C, _), *_] = federation
    own_P = np.zeros(layout.num_parameters, np.float32)
    got_P = from_contributors(own_P, mask_C, values_of(vector_P, mask_C, layout), layout)
    assert np.array_equal(got_P, np.where(np.repeat(mask_C, layout.sizes_C), vector_P, own_P))
    assert not own_P.any()


def test_buffers_are_averaged_over_all_and_counters_rounded():
    mean = BufferMean(1, 1)
    mean.add(np.array([1], np.float32), np.array([10]), 1.0)
    mean.add(np.array([4], np.float32), np.array([13]), 2.0)
    floats_B, counters_I = mean.mean()
    assert floats_B.tolist() == [3.0]
    assert counters_I.tolist() == [12]
    assert counters_I.dtype == np.int64
