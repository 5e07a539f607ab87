from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fedchunk.orchestrator.learning.engines.batches import batch_slices, client_batches, timetable
from fedchunk.orchestrator.settings.sections import TrainingSettings


def alone(size: int, training: TrainingSettings, rng: np.random.Generator) -> list[list[int]]:
    """The batches that a client takes when it is trained alone."""
    slices = batch_slices(size, training.train_batch_size, drop_single=False)
    taken: list[list[int]] = []
    for number in range(training.local_steps or len(slices) * training.number_of_epochs):
        if number % len(slices) == 0:
            order = rng.permutation(size)
        taken.append(order[slices[number % len(slices)]].tolist())
    return taken


@given(
    sizes=st.lists(st.integers(1, 30), min_size=1, max_size=5),
    batch_size=st.integers(1, 12),
    epochs=st.integers(1, 3),
    local_steps=st.none() | st.integers(1, 8),
)
def test_a_stack_takes_the_batches_that_each_client_takes_alone(sizes, batch_size, epochs, local_steps):
    training = TrainingSettings(train_batch_size=batch_size, number_of_epochs=epochs, local_steps=local_steps)
    clients = [client_batches(size, training, drop_single=False) for size in sizes]
    clients.sort(key=lambda client: -client.steps)
    firsts = [100 * row for row in range(len(clients))]
    rngs = [np.random.default_rng(row) for row in range(len(clients))]
    table = timetable(clients, firsts, rngs)
    for row, client in enumerate(clients):
        expected = alone(client.num_samples, training, np.random.default_rng(row))
        assert client.steps == len(expected)
        for step, batch in enumerate(expected):
            here = (table.rows_E == row) & (table.steps_E == step)
            real = here & (table.shares_E > 0)
            assert (table.samples_E[real] - 100 * row).tolist() == batch
            np.testing.assert_allclose(table.shares_E[real], 1 / len(batch))
            assert set(table.samples_E[here].tolist()) <= {100 * row + sample for sample in batch}
    assert table.counts_T == np.bincount(table.steps_E).tolist()
    assert np.all(np.diff(table.steps_E) >= 0)
    assert table.is_even == bool((table.shares_E > 0).all())


@given(size=st.integers(1, 40), batch_size=st.integers(1, 12), drop_single=st.booleans())
def test_batches_are_counted_as_they_are_cut(size, batch_size, drop_single):
    training = TrainingSettings(train_batch_size=batch_size, number_of_epochs=3)
    slices = batch_slices(size, batch_size, drop_single=drop_single)
    client = client_batches(size, training, drop_single=drop_single)
    assert (client.per_epoch, client.steps) == (len(slices), 3 * len(slices))


def test_a_dropped_single_sample_leaves_full_batches_only():
    training = TrainingSettings(train_batch_size=4, number_of_epochs=2)
    table = timetable([client_batches(9, training, drop_single=True)], [0], [np.random.default_rng(0)])
    rng = np.random.default_rng(0)
    expected = np.concatenate([rng.permutation(9)[:8], rng.permutation(9)[:8]])
    np.testing.assert_array_equal(table.samples_E, expected)
    assert table.is_even
    assert table.shapes_T == ((1, 4),) * 4


def test_clients_that_are_done_are_left_out_and_batches_are_no_wider_than_needed():
    training = TrainingSettings(train_batch_size=4)
    clients = [client_batches(size, training, drop_single=False) for size in (10, 6, 3)]
    table = timetable(clients, [0, 10, 16], [np.random.default_rng(row) for row in range(3)])
    assert table.shapes_T == ((3, 4), (2, 4), (1, 2))
    assert table.rows_E.tolist() == [0] * 4 + [1] * 4 + [2] * 4 + [0] * 4 + [1] * 4 + [0] * 2
