"""Made on the spot, for benchmarks and tests: a smooth pattern per class under noise; for language models chains."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.core.seeds import generator
from fedchunk.orchestrator.learning.data.dataset import Dataset
from fedchunk.orchestrator.learning.datasets._synthetic_tasks import IMAGES, chain, token_part
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
    task: str,
    contrast: NotNegative = 40.0,
    noise: NotNegative = 40.0,
) -> Dataset:
    """Images (S, c, h, w) in uint8 with blobs of Gaussians; the classes are as equal in size as can be.

    The target of regression is how strong the first pattern is; those of multilabel, which patterns are there. Samples
    of a language model are walks of ``synthetic_size`` steps along a Markov chain over ``synthetic_classes`` tokens.

    Args:
        seed: other seeds give other patterns and other noise.
        synthetic_samples: training samples.
        synthetic_test_samples: test samples.
        synthetic_classes: classes.
        synthetic_channels: channels of an image.
        synthetic_size: its side in pixels.
        task: what the targets are.
        contrast: grey levels of a blob's height (standard deviation).
        noise: grey levels of the noise. As they are, a model learns it well, but not at once.
    """
    sizes = {"train": synthetic_samples, "test": synthetic_test_samples}
    if task == "language_model":
        chances_VV = chain(synthetic_classes, generator(seed, "synthetic chain"))
        parts = [
            token_part(chances_VV, size, synthetic_size, generator(seed, f"synthetic {part}"))
            for part, size in sizes.items()
        ]
        return Dataset(*parts[0], *parts[1], synthetic_classes)
    shape = synthetic_channels, synthetic_size
    patterns = _patterns(synthetic_classes, *shape, contrast, generator(seed, "synthetic patterns"))
    if (make := IMAGES.get(task)) is not None:
        made = [make(patterns, size, noise, generator(seed, f"synthetic {part}")) for part, size in sizes.items()]
        return Dataset(*made[0], *made[1])
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
