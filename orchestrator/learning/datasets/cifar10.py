"""CIFAR-10: 60,000 colour photographs of 32 x 32 pixels, in 10 classes; its files are in data_dir."""

from __future__ import annotations

from pathlib import Path

from fedchunk.orchestrator.learning.data.dataset import Dataset
from fedchunk.orchestrator.learning.data.files import load_cifar

SHAPE = (3, 32, 32)
CLASSES = 10
TRAIN_SAMPLES = 50_000
TEST_SAMPLES = 10_000
VALUE_BYTES = 1


def cifar10(data_dir: Path, download: bool) -> Dataset:
    """From the published files.

    Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images" (2009).

    Args:
        data_dir: the folder that holds the unpacked archive's.
        download: whether the files may be downloaded.
    """
    return Dataset(*load_cifar("cifar10", "CIFAR10", data_dir, download), CLASSES)
