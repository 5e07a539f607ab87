"""Data sets as arrays. Imports no torch, so that the driver can look at data without paying for it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

HISTOGRAM_BLOCK = 1024
"""Images counted at a time: numpy's bincount widens bytes to eight bytes each."""


@dataclass(frozen=True)
class Dataset:
    """What a data set gives: samples of any shape with their targets, for training and for the test.

    Images of bytes, (S, c, h, w) in uint8, are put on the scale 0 to 1 and normalised by the mean and the deviation of
    each channel of the training images. Floats are taken as they are, unless a mean and a deviation are given. Other
    whole numbers, such as the places of words in a vocabulary, reach the model as int64.
    """

    train_x: ArrayLike
    """Training samples, (S, ...)."""
    train_y: ArrayLike
    """Their targets, as the task says: labels (S,), whole numbers from 0; numbers (S,) or (S, d); 0 or 1 (S, L); the
    next tokens (S, T)."""
    test_x: ArrayLike
    test_y: ArrayLike
    num_classes: int | None = None
    """How many labels, or tokens, there are; None: as many as the largest says."""
    clients: ArrayLike | None = None
    """Whom each training sample comes from, (S,), where the data have clients of their own."""
    name: str = ""
    """For the records; empty: as it is called in the settings."""
    mean_c: ArrayLike | None = None
    """What is subtracted of each channel, the first axis of a sample, (c,); of bytes on the scale 0 to 1."""
    std_c: ArrayLike | None = None
    """What it is divided by then, above 0."""
    token_bytes: ArrayLike | None = None
    """Of a vocabulary, the bytes of text that each token stands for, (V,); None: one each."""


@dataclass(frozen=True)
class LoadedDataset:
    """A data set that was checked, of types that travel and train."""

    name: str
    train_x: NDArray[Any]
    """uint8 images, float32 or int64, (S, ...)."""
    train_y: NDArray[Any]
    """int64 or float32, as the task says, (S, ...)."""
    test_x: NDArray[Any]
    test_y: NDArray[Any]
    num_classes: int
    """Outputs of a model: labels, numbers of a sample, or tokens."""
    clients_S: NDArray[Any] | None
    mean_c: NDArray[np.float32] | None
    """Of each channel on the scale 0 to 1; None, as ``std_c``, where samples are taken as they are."""
    std_c: NDArray[np.float32] | None
    size: int | None = None
    """``transform_input_size``."""
    token_bytes_V: NDArray[np.int64] | None = None
    """Bytes of each token of a vocabulary; None where a token is a byte."""

    @property
    def scale(self) -> Scale | None:
        """What normalises samples."""
        return None if self.mean_c is None or self.std_c is None else (self.mean_c, self.std_c)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Of one sample as the model sees it, after any resize."""
        shape = self.train_x.shape[1:]
        return shape if self.size is None else (shape[0], self.size, self.size)


Scale = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Mean and deviation of each channel."""


def is_image_bytes(x: NDArray[Any]) -> bool:
    """Whether samples are images of bytes, (S, c, h, w) in uint8."""
    return x.dtype == np.uint8 and x.ndim == 4


def channel_statistics(x: NDArray[Any]) -> Scale:
    """Mean and standard deviation per channel on the scale 0 to 1; a channel without variation gets deviation 1.

    Args:
        x: images (S, c, h, w), uint8 or float32.
    """
    moments = [_byte_moments(x[:, c]) if x.dtype == np.uint8 else _float_moments(x[:, c]) for c in range(x.shape[1])]
    mean_c, std_c = np.array(moments, dtype=np.float32).T
    return mean_c.copy(), np.where(std_c > 0, std_c, np.float32(1))


def digest(dataset: LoadedDataset, parts: Sequence[NDArray[np.int64]]) -> str:
    """32 hexadecimal digits (BLAKE2b) over samples, labels and who holds which: equal data, equal digest."""
    state = hashlib.blake2b(digest_size=16)
    for array in (dataset.train_x, dataset.train_y, dataset.test_x, dataset.test_y, *parts):
        state.update(f"{array.dtype.str}{array.shape}".encode())
        state.update(np.ascontiguousarray(array).data)
    return state.hexdigest()


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
