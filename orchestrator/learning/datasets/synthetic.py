"""Images made on the spot: one smooth pattern of Gaussian blobs per class, under noise. For benchmarks and tests."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.core.seeds import generator
from fedchunk.orchestrator.learning.data.dataset import Dataset
from fedchunk.orchestrator.settings.option_types import NotNegative

SHAPE = ("synthetic_channels", "synthetic_size", "synthetic_size")
CLASSES = "synthetic_classes"
TRAIN_SAMPLES = "synthetic_samples"
TEST_SAMPLES = "synthetic_test_samples"
VALUE_BYTES = 1

BLOBS = 3
"""Blobs in a class's pattern and channel: enough that two classes hardly ever look alike."""

BLOCK = 1024
"""Samples made at a time, so that the noise of a large data set never lies in memory as floats."""


def synthetic(
    seed: int,
    synthetic_samples: int,
    synthetic_test_samples: int,
    synthetic_classes: int,
    synthetic_channels: int,
    synthetic_size: int,
    contrast: NotNegative = 40.0,
    noise: NotNegative = 40.0,
) -> Dataset:
    """Images (S, c, h, w) in uint8; the classes are as equal in size as can be.

    Args:
        seed: other seeds give other patterns and other noise.
        synthetic_samples: training samples.
        synthetic_test_samples: test samples.
        synthetic_classes: classes.
        synthetic_channels: channels of an image.
        synthetic_size: its side in pixels.
        contrast: grey levels of a blob's height (standard deviation).
        noise: grey levels of the noise. As they are, a model learns it well, but not at once.
    """
    shape = synthetic_channels, synthetic_size
    patterns = _patterns(synthetic_classes, *shape, contrast, generator(seed, "synthetic patterns"))
    train_x, train_y = _draw(patterns, synthetic_samples, noise, generator(seed, "synthetic train"))
    test_x, test_y = _draw(patterns, synthetic_test_samples, noise, generator(seed, "synthetic test"))
    return Dataset(train_x, train_y, test_x, test_y, synthetic_classes)


def _patterns(classes: int, channels: int, size: int, contrast: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """One image of mean grey 128 per class: (classes, c, h, w)."""
    leading = (classes, channels, BLOBS, 1, 1)
    rows, columns = np.mgrid[0:size, 0:size]
    centre_rows, centre_columns = rng.uniform(0, size, (2, *leading))
    heights = contrast * rng.standard_normal(leading)
    width = max(1.0, size / 6)
    distance = (rows - centre_rows) ** 2 + (columns - centre_columns) ** 2
    blobs = heights * np.exp(-distance / (2 * width**2))
    return np.asarray(128 + blobs.sum(axis=2), dtype=np.float32)


def _draw(
    patterns: NDArray[np.float32], num_samples: int, noise: float, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    labels_S = rng.permutation(np.arange(num_samples, dtype=np.int64) % len(patterns))
    images = np.empty((num_samples, *patterns.shape[1:]), dtype=np.uint8)
    for start in range(0, num_samples, BLOCK):
        block = patterns[labels_S[start : start + BLOCK]]
        noisy = block + np.float32(noise) * rng.standard_normal(block.shape, dtype=np.float32)
        images[start : start + BLOCK] = np.clip(np.rint(noisy), 0, 255)
    return images, labels_S
