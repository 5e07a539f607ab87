"""Samples come out as the pre-processing makes them, whether they stay on the device or are sent."""

import numpy as np
import pytest
import torch

from fedchunk.orchestrator.learning.data.samples import Samples
from fedchunk.orchestrator.learning.preprocess import to_device

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
