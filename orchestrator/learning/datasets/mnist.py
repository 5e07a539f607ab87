"""70,000 handwritten digits of 28 x 28 pixels, in 10 classes; its files are in data_dir."""

from __future__ import annotations

from pathlib import Path

from fedchunk.orchestrator.learning.data.dataset import Dataset
from fedchunk.orchestrator.learning.data.files import IdxDataset, load_idx_dataset

SHAPE = (1, 28, 28)
CLASSES = 10
TRAIN_SAMPLES = 60_000
TEST_SAMPLES = 10_000
VALUE_BYTES = 1

FILES = IdxDataset("mnist", "MNIST", CLASSES)


def mnist(data_dir: Path, download: bool) -> Dataset:
    """From four IDX files, plain or gzipped.

    Source: LeCun et al., "Gradient-Based Learning Applied to Document Recognition" (1998).

    Args:
        data_dir: where the files are searched.
        download: whether they may be downloaded.
    """
    return Dataset(*load_idx_dataset(FILES, data_dir, download), CLASSES)
