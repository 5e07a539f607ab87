"""Fashion-MNIST: 70,000 pieces of clothing of 28 x 28 pixels, in 10 classes; its files are in data_dir."""

from __future__ import annotations

from pathlib import Path

from fedchunk.orchestrator.learning.data.dataset import Dataset
from fedchunk.orchestrator.learning.data.files import IdxDataset, load_idx_dataset

SHAPE = (1, 28, 28)
CLASSES = 10
TRAIN_SAMPLES = 60_000
TEST_SAMPLES = 10_000
VALUE_BYTES = 1

DEBIAN = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package dataset-fashion-mnist puts its files."""

FILES = IdxDataset(
    "fmnist", "FashionMNIST", CLASSES, (DEBIAN,), "on Debian and Ubuntu the package dataset-fashion-mnist has them"
)


def fmnist(data_dir: Path, download: bool) -> Dataset:
    """From four IDX files, plain or gzipped.

    Source: Xiao et al., "Fashion-MNIST: a Novel Image Dataset" (2017).

    Args:
        data_dir: where the files are searched.
        download: whether they may be downloaded.
    """
    return Dataset(*load_idx_dataset(FILES, data_dir, download), CLASSES)
