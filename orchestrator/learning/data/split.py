"""Which samples are the test set, where the data do not say it themselves."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.core.errors import DataError
from fedchunk.orchestrator.core.seeds import generator
from fedchunk.orchestrator.learning.data.places import wrong_option

TEST_SHARE = 0.2
"""The share of each label that is tested where nothing is said."""


def stratified(labels_S: NDArray[np.int64], share: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Whether each sample is of the test set: the same share of each label, rounded, but never all of a label.

    Args:
        labels_S: the labels of all samples.
        share: above 0 and below 1.
        rng: where to draw from.
    """
    is_test = np.zeros(len(labels_S), dtype=bool)
    by_label = np.argsort(labels_S, kind="stable")
    sizes = np.bincount(labels_S)
    for members in np.split(by_label, np.cumsum(sizes[sizes > 0])[:-1]):
        taken = min(round(share * len(members)), len(members) - 1)
        is_test[rng.permutation(members)[:taken]] = True
    return is_test


def drawn_test(labels_S: NDArray[np.int64], share: float | None, seed: int, where: object) -> NDArray[np.bool_]:
    """The test set of a data set that has none of its own.

    Args:
        labels_S: the labels of all samples.
        share: ``test_share``; None: :data:`TEST_SHARE`.
        seed: ``test_seed``. Not the experiment's seed: two seeds must be measured on the same samples.
        where: the file or folder, for a message.

    Raises:
        DataError: no sample would be tested.
    """
    is_test = stratified(labels_S, TEST_SHARE if share is None else share, generator(seed, "test split"))
    if not is_test.any():
        raise DataError(
            f"{where}: {len(labels_S)} samples are too few for a test set: test_share {share or TEST_SHARE:g} of each "
            "label is not one sample; give a larger test_share, or a test set of its own"
        )
    return is_test


def drawn_test_of_all(num_samples: int, share: float | None, seed: int, where: object) -> NDArray[np.bool_]:
    """The same where samples have no label each: a share of all samples."""
    return drawn_test(np.zeros(num_samples, np.int64), share, seed, where)


def one_test_set(has: str, share: float | None) -> None:
    """Refuses ``test_share`` beside a test set that is there. Raises ConfigError.

    Args:
        has: what the test set is, such as ``the folder test``.
        share: ``test_share``.
    """
    if share is not None:
        raise wrong_option(f"test_share: got {share:g}, but {has} is the test set; leave test_share out")
