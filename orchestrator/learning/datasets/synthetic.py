"""Images made on the spot: one smooth pattern of Gaussian blobs per class, under noise. For benchmarks and tests."""

from __future__ import annotations

import numpy as np
from fedchunk.orchestrator.core.seeds import generator
from fedchunk.orchestrator.learning.datasets.files import Arrays
from fedchunk.orchestrator.settings.sections import DataSettings
from numpy.typing import NDArray

BLOBS = 3
"""Blobs in a class's pattern and channel: enough that two classes hardly ever look alike."""

CONTRAST, NOISE = 40.0, 40.0
"""Grey levels of a blob's height (standard deviation) and of the noise: a model learns it well, but not at once."""

BLOCK = 1024
"""Samples made at a time, so that the noise of a large data set never lies in memory as floats."""


def make_synthetic(settings: DataSettings, seed: int) -> Arrays:
    """Training and test images (S, c, h, w) in uint8 and their labels; the classes are as equal in size as can be.

    Args:
        settings: the ``synthetic_*`` sizes.
        seed: other seeds give other patterns and other noise.
    """
    patterns = _patterns(settings, generator(seed, "synthetic patterns"))
    train_x, train_y = _draw(patterns, settings.synthetic_samples, generator(seed, "synthetic train"))
    test_x, test_y = _draw(patterns, settings.synthetic_test_samples, generator(seed, "synthetic test"))
    return train_x, train_y, test_x, test_y


def _patterns(settings: DataSettings, rng: np.random.Generator) -> NDArray[np.float32]:
    """One image of mean grey 128 per class: (classes, c, h, w)."""
    size = settings.synthetic_size
    leading = (settings.synthetic_classes, settings.synthetic_channels, BLOBS, 1, 1)
    rows, columns = np.mgrid[0:size, 0:size]
    centre_rows, centre_columns = rng.uniform(0, size, (2, *leading))
    heights = CONTRAST * rng.standard_normal(leading)
    width = max(1.0, size / 6)
    distance = (rows - centre_rows) ** 2 + (columns - centre_columns) ** 2
    blobs = heights * np.exp(-distance / (2 * width**2))
    return np.asarray(128 + blobs.sum(axis=2), dtype=np.float32)


def _draw(
    patterns: NDArray[np.float32], num_samples: int, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    labels_S = rng.permutation(np.arange(num_samples, dtype=np.int64) % len(patterns))
    images = np.empty((num_samples, *patterns.shape[1:]), dtype=np.uint8)
    for start in range(0, num_samples, BLOCK):
        block = patterns[labels_S[start : start + BLOCK]]
        noisy = block + np.float32(NOISE) * rng.standard_normal(block.shape, dtype=np.float32)
        images[start : start + BLOCK] = np.clip(np.rint(noisy), 0, 255)
    return images, labels_S
