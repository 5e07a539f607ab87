"""Scores by gradient: where the way of the weights tells the mean gradient, they are those of gradients added up."""

import numpy as np
import pytest
import torch

import fedchunk
from fedchunk.actors.client.experiment_data import prepare
from fedchunk.actors.client.worker import LocalWorker
from fedchunk.orchestrator.chunking.scoring import norms
from fedchunk.orchestrator.chunking.selection import best
from fedchunk.orchestrator.learning.build import flat_model
from fedchunk.orchestrator.learning.data.samples import Part, Samples
from fedchunk.orchestrator.learning.engines.group_trainer import GroupTrainer
from fedchunk.orchestrator.methods.scorer import Ages

SETTINGS = {
    "dataset_type": "synthetic", "synthetic_samples": 190, "number_of_clients": 3, "data_distribution_kind": "dir",
    "chunking": True, "chunking_parts": 300, "chunk_score": "gradient", "learning_rate": 0.05, "train_batch_size": 7,
    "mlflow_enabled": False, "device": "cpu", "number_of_epochs": 3,
}  # fmt: skip
CLIENTS = (0, 1, 2)


def looking(gradient_P, layout: fedchunk.Layout):
    """A user's score that looks at the gradient itself."""
    return norms(gradient_P, layout)


def trained(**changes):
    """The worker, and what its clients know after a round."""
    settings = fedchunk.load_settings(SETTINGS, **changes)
    worker = LocalWorker(settings, "cpu", prepare(settings))
    starts = [worker.start] * len(CLIENTS)
    group = worker.train(1, CLIENTS, starts)
    assert not group.failures
    return settings, worker, worker.changes(starts, group, [None] * len(CLIENTS))


def added_up(settings):
    """The mean gradients of the same clients, summed over the batches."""
    data = prepare(settings)
    model = flat_model(settings, data.dataset.input_shape, data.dataset.num_classes, torch.device("cpu"))
    samples = Samples(data.dataset.train_x, data.dataset.train_y, data.dataset.scale, None, torch.device("cpu"))
    parts = [data.partition.samples_of(client) for client in CLIENTS]
    trainer = GroupTrainer(model, settings, with_gradient=True)
    group = trainer.train(
        [model.state()] * len(CLIENTS),
        Part(samples, np.concatenate(parts)),
        np.cumsum([0, *map(len, parts)]).tolist(),
        CLIENTS,
        seed=settings.federation.random_seed,
        round_index=1,
    )
    return group.gradient_GP


@pytest.mark.parametrize("model", ["mlp", "cnn"])
@pytest.mark.parametrize("record", [True, False])
@pytest.mark.parametrize("score", ["gradient", looking])
def test_what_the_way_tells_is_what_gradients_add_up_to(model, record, score):
    settings, worker, changes = trained(model_type=model, record_chunks=record, chunk_score=score)
    assert not worker._changes.adds_up
    ages = Ages(1, np.zeros(worker.method.layout.num_chunks, np.int32))
    for gradient_P, change in zip(added_up(settings), changes, strict=True):
        expected_C = norms(gradient_P, worker.method.layout)
        got_C = worker.scored(change, ages)
        np.testing.assert_allclose(got_C, expected_C, rtol=1e-3, atol=1e-6 * expected_C.max())
        assert (best(got_C, 60) == best(expected_C, 60)).mean() > 0.99
        if score is looking:
            np.testing.assert_allclose(change.gradient_P, gradient_P, atol=1e-4 * np.abs(gradient_P).max())


@pytest.mark.parametrize(
    "change", [{"momentum": 0.9}, {"weight_decay": 0.1}, {"optimizer": "adam"}, {"max_grad_norm": 0.1}]
)
def test_where_steps_are_not_the_gradient_it_is_added_up(change):
    settings, worker, changes = trained(model_type="mlp", **change)
    assert worker._changes.adds_up
    ages = Ages(1, np.zeros(worker.method.layout.num_chunks, np.int32))
    for gradient_P, known in zip(added_up(settings), changes, strict=True):
        got_C = worker.scored(known, ages)
        np.testing.assert_array_equal(got_C, norms(gradient_P, worker.method.layout))
