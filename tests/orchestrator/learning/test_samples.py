"""Samples come out as the pre-processing makes them, whether they stay on the device or are sent."""

import numpy as np
import pytest
import torch
from torch import nn

from fedchunk.orchestrator.learning.data.samples import Part, Samples
from fedchunk.orchestrator.learning.engines.flatten import FlatModel
from fedchunk.orchestrator.learning.engines.group_trainer import GroupTrainer
from fedchunk.orchestrator.learning.preprocess import to_device
from fedchunk.orchestrator.settings.sections import TrainingSettings
from fedchunk.orchestrator.settings.whole import Settings

SCALE = np.array([0.4, 0.5], np.float32), np.array([0.2, 0.3], np.float32)


def data(kind):
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (30, 2, 5, 5), dtype=np.uint8)
    images = images if kind == "uint8" else (images / np.float32(255)).astype(np.float32)
    labels = rng.integers(0, 4, 30)
    for array in (images, labels):
        array.setflags(write=False)
    return images, labels


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("size", [None, 8])
@pytest.mark.parametrize("kind", ["uint8", "float32"])
@pytest.mark.parametrize("resident", [True, False])
@pytest.mark.parametrize("places", [np.array([3, 17, 3, 0]), slice(4, 9)])
def test_samples_are_what_the_preprocessing_makes_of_them(kind, size, resident, places, device):
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    images, labels = data(kind)
    samples = Samples(images, labels, SCALE, size, torch.device(device), resident=resident)

    x_S, y_S = samples.take(places)

    assert torch.equal(x_S, to_device(images[places], SCALE, size, device))
    assert y_S.tolist() == labels[places].tolist()
    assert y_S.dtype == torch.int64


def test_taking_twice_gives_the_same_because_nothing_is_changed_in_place():
    images, labels = data("float32")
    samples = Samples(images, labels, SCALE, None, torch.device("cpu"), resident=True)

    first, again = (samples.take(slice(0, 30))[0] for _ in range(2))

    assert torch.equal(first, again)
    assert len(samples) == 30


class Watched(np.ndarray):
    """Counts the rows that are read."""

    rows = 0

    def __getitem__(self, places):
        taken = super().__getitem__(places)
        if isinstance(places, np.ndarray | slice):
            Watched.rows += len(taken)
        return np.asarray(taken)


@pytest.mark.parametrize("together", ["on", "off"])
def test_of_a_clients_samples_only_those_of_its_batches_are_read(together, monkeypatch):
    monkeypatch.setattr(Watched, "rows", 0)
    rng = np.random.default_rng(3)
    x_S = rng.standard_normal((1000, 6), np.float32).view(Watched)
    samples = Samples(x_S, rng.integers(0, 4, 1000), None, None, torch.device("cpu"))
    training = TrainingSettings(local_steps=3, train_batch_size=5, vectorize_clients=together)
    model = FlatModel(nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4)), "cpu")
    trainer = GroupTrainer(model, Settings(training=training), with_gradient=False)

    part = Part(samples, rng.permutation(1000)[:600])
    trained = trainer.train([model.state()] * 2, part, [0, 300, 600], [0, 1], seed=1, round_index=1)

    assert not trained.failures
    looked_at = 1 if trained.engine == "dense" else 0  # whether its first layer takes such samples
    assert Watched.rows == 2 * 3 * 5 + looked_at


def test_a_part_counts_its_own_samples_from_0():
    images, labels = data("uint8")
    samples = Samples(images, labels, SCALE, None, torch.device("cpu"))
    part = Part(samples, np.array([9, 4, 7, 1]))[1:]

    x_S, y_S = part.take(part.places(np.array([2, 0])))

    assert len(part) == 3
    assert torch.equal(x_S, samples.take(np.array([1, 4]))[0])
    assert y_S.tolist() == labels[[1, 4]].tolist()
