"""Sums of clients and of groups, means over contributors, and the two receiver rules: by hand and by property."""

import pickle
import tracemalloc

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from fedchunk.orchestrator.chunking.aggregation import BufferMean, ChunkSum, PartialSum, RoundSum, Update
from fedchunk.orchestrator.chunking.layout import Layout
from fedchunk.orchestrator.chunking.reconstruction import from_contributors, with_own_weights

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
    total, own_P = summed([one, two]), np.full(7, -1, np.float32)
    assert total.sent_C.tolist() == [True, True, False]
    assert total.means_in(own_P).tolist() == [6.5, 6.5, 2, 2, -1, -1, -1]
    assert own_P.tolist() == [-1] * 7


@st.composite
def federations(draw):
    """A cut into four chunks, of a few values or long enough for slices, and clients that send some of them."""
    layout = Layout(draw(st.integers(4, 60) | st.integers(1100, 1300)), 4)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count = draw(st.integers(1, 6))
    clients = [
        (rng.normal(size=layout.num_parameters).astype(np.float32), rng.random(4) < 0.6, float(rng.integers(1, 50)))
        for _ in range(count)
    ]
    return layout, clients


def updates_of(layout, clients):
    """Messages as they arrive: arrays that nobody may write to."""
    updates = []
    for i, (vector_P, mask_C, weight) in enumerate(clients):
        arrays = mask_C, values_of(vector_P, mask_C, layout), np.array([i, 0.1], np.float32), np.array([i + 3])
        for array in arrays:
            array.setflags(write=False)
        updates.append(Update(*arrays, weight))
    return updates


def written_out(layout, clients):
    """Sums of a run of clients in numpy's own words: from zero, in order, one at a time."""
    sums_P, weights_C = np.zeros(layout.num_parameters), np.zeros(layout.num_chunks)
    for vector_P, mask_C, weight in clients:
        sent_P = np.repeat(mask_C, layout.sizes_C)
        sums_P[sent_P] = sums_P[sent_P] + vector_P[sent_P].astype(np.float64) * weight
        weights_C[mask_C] += weight
    return sums_P, weights_C


def same_bits(one: PartialSum, other: PartialSum) -> bool:
    return pickle.dumps([np.array(field) for field in vars(one).values()]) == pickle.dumps(
        [np.array(field) for field in vars(other).values()]
    )


@settings(max_examples=300)
@given(federations(), st.integers(1, 1400), st.integers(1, 6))
def test_several_at_once_and_in_blocks_is_the_same_bits_as_one_value_after_the_other(federation, block, at_once):
    layout, clients = federation
    updates = updates_of(layout, clients)
    total = RoundSum(layout, 2, 1, block_values=block)
    for first in range(0, len(updates), at_once):
        total.add_all(updates[first : first + at_once])
    sums_P, weights_C = written_out(layout, clients)
    assert total.partial().sums_P.tobytes() == sums_P.tobytes()
    assert np.array_equal(total.chunks.weights_C, weights_C)
    one_by_one = RoundSum(layout, 2, 1)
    for update in updates:
        one_by_one.add(update.mask_C, update.values, update.buffers_B, update.counters_I, update.weight)
    assert same_bits(total.partial(), one_by_one.partial())


def across_a_border(partial: PartialSum) -> PartialSum:
    """As another process sees it: other memory, and read-only."""
    arrived = pickle.loads(pickle.dumps(partial))
    for field in vars(arrived).values():
        if isinstance(field, np.ndarray):
            field.setflags(write=False)
    return arrived


@pytest.mark.parametrize("share", [0.0, 0.004, 0.05, 0.3])
@pytest.mark.parametrize("block", [500, 4096, 1 << 16])
def test_few_chunks_are_added_in_any_blocks_as_value_by_value(share, block):
    layout, rng = Layout(20_000, 800), np.random.default_rng(6)
    total, slow_P = ChunkSum(layout, block), np.zeros(20_000)
    for _ in range(3):
        mask_C = rng.random(800) < share
        mask_P = np.repeat(mask_C, layout.sizes_C)
        values, weight = rng.standard_normal(mask_P.sum()).astype(np.float32), float(rng.integers(1, 9))
        total.add(mask_C, values, weight)
        slow_P[mask_P] += values.astype(np.float64) * weight
    assert total.sums_P.tobytes() == slow_P.tobytes()


@given(federations(), st.integers(1, 6))
def test_the_total_is_the_sum_of_the_groups_in_their_order(federation, per_group):
    layout, clients = federation
    groups = [clients[first : first + per_group] for first in range(0, len(clients), per_group)]
    total = RoundSum(layout, 2, 1)
    sums_P, weights_C = np.zeros(layout.num_parameters), np.zeros(layout.num_chunks)
    for group in groups:
        inside = RoundSum(layout, 2, 1)
        inside.add_all(updates_of(layout, group))
        total.merge(across_a_border(inside.partial()))
        group_sums_P, group_weights_C = written_out(layout, group)
        sums_P, weights_C = sums_P + group_sums_P, weights_C + group_weights_C
    assert total.chunks.sums_P.tobytes() == sums_P.tobytes()
    assert np.array_equal(total.chunks.weights_C, weights_C)
    assert total.weight == sum(weight for *_, weight in clients)


@given(federations())
def test_a_group_of_one_client_may_be_added_directly(federation):
    layout, clients = federation
    direct, merged = RoundSum(layout, 2, 1), RoundSum(layout, 2, 1)
    for update in updates_of(layout, clients):
        direct.add_all([update])
        alone = RoundSum(layout, 2, 1)
        alone.add_all([update])
        merged.merge(across_a_border(alone.partial()))
    assert same_bits(direct.partial(), merged.partial())


def test_a_tree_of_groups_by_hand():
    """2^53 + 1 is no float64: 2^53 + (1 + 1) keeps what (2^53 + 1) + 1 loses."""
    layout, mask_C = Layout(1, 1), np.ones(1, bool)
    large, small = (Update(mask_C, np.array([v], np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64), 1.0)
                    for v in (2.0**53, 1.0))  # fmt: skip
    flat, tree, group = RoundSum(layout, 0, 0), RoundSum(layout, 0, 0), RoundSum(layout, 0, 0)
    flat.add_all([large, small, small])
    group.add_all([small, small])
    tree.add_all([large])
    tree.merge(group.partial())
    assert flat.chunks.sums_P.tolist() == [2.0**53]
    assert tree.chunks.sums_P.tolist() == [2.0**53 + 2]


@given(federations())
def test_a_mean_is_one_division_of_the_sum_in_float64(federation):
    layout, clients = federation
    total = summed(clients, layout)
    out_P, sent_C = total.means_in(np.full(layout.num_parameters, np.pi, np.float32)), total.sent_C
    sums_P, weights_C = written_out(layout, clients)
    assert np.array_equal(sent_C, weights_C > 0)
    for chunk, (start, stop) in enumerate(zip(layout.bounds[:-1], layout.bounds[1:], strict=True)):
        expected = sums_P[start:stop] / weights_C[chunk] if sent_C[chunk] else np.full(stop - start, np.pi)
        assert out_P[start:stop].tobytes() == expected.astype(np.float32).tobytes()
    assert total.over(7.0).tobytes() == (sums_P / 7.0).astype(np.float32).tobytes()


QUESTIONS = st.lists(st.sampled_from(["means", "over", "sums", "merge"]), max_size=12)


@given(federations(), QUESTIONS, st.integers(300, 1400))
def test_asking_in_between_changes_nothing(federation, asked, block):
    layout, clients = federation
    total, sums_P, weights_C = ChunkSum(layout, block), np.zeros(layout.num_parameters), np.zeros(layout.num_chunks)
    own_P = np.full(layout.num_parameters, np.pi, np.float32)
    for turn, question in enumerate(asked):
        client = clients[turn % len(clients)]
        its_sums_P, its_weights_C = written_out(layout, [client])
        if question == "merge":
            total.merge(its_sums_P, its_weights_C)
        else:
            total.add(client[1], values_of(client[0], client[1], layout), client[2])
        sums_P, weights_C = sums_P + its_sums_P, weights_C + its_weights_C
        if question == "means":
            weights_P = np.repeat(weights_C, layout.sizes_C)
            expected_P = np.where(weights_P > 0, sums_P / np.where(weights_P > 0, weights_P, 1), np.pi)
            assert total.means_in(own_P).tobytes() == expected_P.astype(np.float32).tobytes()
        elif question == "over":
            assert total.over(7.0).tobytes() == (sums_P / 7.0).astype(np.float32).tobytes()
        elif question == "sums":
            assert total.sums_P.tobytes() == sums_P.tobytes()
    assert total.sums_P.tobytes() == sums_P.tobytes()
    assert np.array_equal(total.weights_C, weights_C)


def test_few_chunks_of_some_clients_need_no_sums_of_the_whole_vector():
    layout = Layout(2_000_000, 400)
    clients = []
    for sender in range(20):
        mask_C = np.arange(400) % 20 == sender
        clients.append((mask_C, np.full(layout.num_values(mask_C), sender, np.float32), 2.0))
    own_P = np.zeros(layout.num_parameters, np.float32)
    tracemalloc.start()
    try:
        total = ChunkSum(layout)
        total.add_all(clients)
        means_P = total.means_in(own_P)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert np.array_equal(means_P, np.repeat(np.arange(400) % 20, layout.sizes_C).astype(np.float32))
    assert peak - means_P.nbytes < layout.num_parameters  # 8 bytes of a value would be the sums


@given(federations())
def test_all_chunks_from_all_clients_is_plain_federated_averaging(federation):
    layout, clients = federation
    everything = [(vector_P, np.ones(4, bool), weight) for vector_P, _, weight in clients]
    out_P = summed(everything, layout).means_in(np.empty(layout.num_parameters, np.float32))
    total = np.zeros(layout.num_parameters)
    for vector_P, _, weight in everything:
        total += vector_P.astype(np.float64) * weight
    assert np.array_equal(out_P, (total / sum(weight for *_, weight in everything)).astype(np.float32))


@given(federations(), st.randoms())
def test_the_order_of_clients_does_not_matter_beyond_the_last_bit(federation, random):
    layout, clients = federation
    shuffled = random.sample(clients, len(clients))
    own_P = np.zeros(layout.num_parameters, np.float32)
    one_P, other_P = (summed(some, layout).means_in(own_P) for some in (clients, shuffled))
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
    means_P, sent_C = total.means_in(own_P), total.sent_C
    shares_K = (total.weights_C / weight).astype(np.float32)[sent_C]
    got_P = with_own_weights(own_P, sent_C, values_of(means_P, sent_C, layout), shares_K, layout)
    np.testing.assert_allclose(got_P, expected_P, rtol=1e-4, atol=1e-5)


@given(federations(), st.integers(0, 2**32 - 1))
def test_own_weights_mixes_each_value_by_the_share_of_its_chunk(federation, seed):
    layout, [(means_P, mask_C, _), *_] = federation
    rng = np.random.default_rng(seed)
    own_P, shares_C = rng.normal(size=len(means_P)).astype(np.float32), rng.random(4, np.float32)
    got_P = with_own_weights(own_P, mask_C, values_of(means_P, mask_C, layout), shares_C[mask_C], layout)
    for chunk, (start, stop) in enumerate(zip(layout.bounds[:-1], layout.bounds[1:], strict=True)):
        own, mean, share = own_P[start:stop], means_P[start:stop], shares_C[chunk]
        expected = (np.float32(1) - share) * own + share * mean if mask_C[chunk] else own
        assert got_P[start:stop].tobytes() == expected.tobytes()


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
