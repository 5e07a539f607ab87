"""Data sets as arrays. Imports no torch, so that the driver can look at data without paying for it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from fedchunk.orchestrator.core.seeds import generator
from fedchunk.orchestrator.learning.datasets.files import Arrays, load_cifar, load_idx_dataset
from fedchunk.orchestrator.learning.datasets.synthetic import make_synthetic
from fedchunk.orchestrator.settings.sections import DataSettings
from numpy.typing import NDArray

DIGITS_SPLIT_SEED = 0
"""Fixes which digits are the test set. Not the experiment's seed: two seeds must be measured on the same images."""

DIGITS_TEST_SHARE = 0.2

HISTOGRAM_BLOCK = 1024
"""Images counted at a time: numpy's bincount widens bytes to eight bytes each."""


@dataclass(frozen=True)
class Dataset:
    """Images and labels, and what normalises them.

    ``train_x`` and ``test_x`` are (S, c, h, w), uint8 (0 to 255) or float32 (0 to 1); labels are (S,) from 0.
    ``mean_c`` and ``std_c`` are of the training images on the scale 0 to 1, per channel.
    """

    name: str
    train_x: NDArray[Any]
    train_y: NDArray[np.int64]
    test_x: NDArray[Any]
    test_y: NDArray[np.int64]
    num_classes: int
    mean_c: NDArray[np.float32]
    std_c: NDArray[np.float32]

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width as stored, before any resize."""
        channels, height, width = self.train_x.shape[1:]
        return channels, height, width


def load_dataset(settings: DataSettings, seed: int) -> Dataset:
    """The data set that the settings name.

    Args:
        settings: which, from where, and whether a download is allowed.
        seed: ``random_seed``; only ``synthetic`` depends on it.

    Raises:
        DataError: files are missing or corrupt; the message names them and what to do.
    """
    name, data_dir = settings.dataset_type, Path(settings.data_dir)
    if name == "digits":
        arrays, num_classes = _load_digits(), 10
    elif name == "synthetic":
        arrays, num_classes = make_synthetic(settings, seed), settings.synthetic_classes
    elif name in ("mnist", "fmnist"):
        arrays, num_classes = load_idx_dataset(name, data_dir, settings.download), 10
    else:
        arrays, num_classes = load_cifar(name, data_dir, settings.download), 100 if name == "cifar100" else 10
    mean_c, std_c = channel_statistics(arrays[0])
    return Dataset(name, *arrays, num_classes, mean_c, std_c)


def channel_statistics(x: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and standard deviation per channel on the scale 0 to 1; a channel without variation gets deviation 1.

    Args:
        x: images (S, c, h, w), uint8 or float32.
    """
    moments = [_byte_moments(x[:, c]) if x.dtype == np.uint8 else _float_moments(x[:, c]) for c in range(x.shape[1])]
    mean_c, std_c = np.array(moments, dtype=np.float32).T
    return mean_c.copy(), np.where(std_c > 0, std_c, np.float32(1))


def digest(dataset: Dataset, parts: Sequence[NDArray[np.int64]]) -> str:
    """32 hexadecimal digits (BLAKE2b) over samples, labels and who holds which: equal data, equal digest."""
    state = hashlib.blake2b(digest_size=16)
    for array in (dataset.train_x, dataset.train_y, dataset.test_x, dataset.test_y, *parts):
        state.update(f"{array.dtype.str}{array.shape}".encode())
        state.update(np.ascontiguousarray(array).data)
    return state.hexdigest()


def _load_digits() -> Arrays:
    """scikit-learn's 1,797 handwritten digits of 8 x 8 pixels: the same fifth of each class is the test set, always.

    Read from its file, a line of 64 pixels and the label each: its import would take a second of every start.
    """
    package = find_spec("sklearn")
    assert package is not None
    assert package.submodule_search_locations is not None
    file = Path(package.submodule_search_locations[0], "datasets", "data", "digits.csv.gz")
    table = np.loadtxt(file, delimiter=",", dtype=np.uint8)
    x = (table[:, :64].reshape(-1, 1, 8, 8) / 16).astype(np.float32)
    y = table[:, 64].astype(np.int64)
    rng = generator(DIGITS_SPLIT_SEED, "digits split")
    is_test = np.zeros(len(y), dtype=bool)
    for label in range(10):
        members = rng.permutation(np.flatnonzero(y == label))
        is_test[members[: round(DIGITS_TEST_SHARE * len(members))]] = True
    return x[~is_test], y[~is_test], x[is_test], y[is_test]


def _byte_moments(x: NDArray[np.uint8]) -> tuple[float, float]:
    """Mean and deviation from a histogram: exact, and without a copy of the images as floats."""
    histogram = np.zeros(256, dtype=np.int64)
    for start in range(0, len(x), HISTOGRAM_BLOCK):
        histogram += np.bincount(x[start : start + HISTOGRAM_BLOCK].ravel(), minlength=256)
    levels = np.arange(256) / 255
    mean = float(levels @ histogram / histogram.sum())
    return mean, float(np.sqrt((levels - mean) ** 2 @ histogram / histogram.sum()))


def _float_moments(x: NDArray[np.float32]) -> tuple[float, float]:
    return float(x.mean(dtype=np.float64)), float(x.std(dtype=np.float64))
