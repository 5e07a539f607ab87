"""1,797 handwritten digits of 8 x 8 pixels, in 10 classes; nothing to download."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fedchunk.orchestrator.core.seeds import generator
from fedchunk.orchestrator.learning.data.dataset import Dataset, channel_statistics
from fedchunk.orchestrator.learning.data.split import TEST_SHARE, stratified

SHAPE = (1, 8, 8)
CLASSES = 10
TRAIN_SAMPLES = 1438
TEST_SAMPLES = 359
VALUE_BYTES = 4

FILE = Path(__file__).with_name("digits.csv.gz")
"""A line of 64 pixels (0 to 16) and the label each, as scikit-learn ships it. Source: E. Alpaydin, C. Kaynak, "Optical
Recognition of Handwritten Digits", UCI Machine Learning Repository (1998), its test part; CC BY 4.0."""

SPLIT_SEED = 0
"""Fixes which digits are the test set. Not the experiment's seed: two seeds must be measured on the same images."""


def digits() -> Dataset:
    """The same fifth of each class is the test set, always."""
    table = np.loadtxt(FILE, delimiter=",", dtype=np.uint8)
    x = (table[:, :64].reshape(-1, *SHAPE) / 16).astype(np.float32)
    y = table[:, 64].astype(np.int64)
    is_test = stratified(y, TEST_SHARE, generator(SPLIT_SEED, "digits split"))
    mean_c, std_c = channel_statistics(x[~is_test])
    return Dataset(x[~is_test], y[~is_test], x[is_test], y[is_test], CLASSES, mean_c=mean_c, std_c=std_c)
