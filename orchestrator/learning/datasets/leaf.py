"""LEAF's JSON: samples and labels by user, and the users are clients (data_distribution_kind: natural)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.core.errors import DataError
from fedchunk.orchestrator.learning.data.dataset import Dataset
from fedchunk.orchestrator.learning.data.labels import Labels, check_number
from fedchunk.orchestrator.learning.data.leaf_file import (
    LeafUser,
    joined,
    joined_labels,
    read_leaf,
    values_in_a_sample,
)
from fedchunk.orchestrator.learning.data.places import below
from fedchunk.orchestrator.learning.data.split import drawn_test, one_test_set
from fedchunk.orchestrator.settings.option_types import Count, CountOrNone, SampleShape, TestShare


def leaf(
    data_dir: Path,
    train: str = "train",
    test: str | None = None,
    shape: SampleShape | None = None,
    num_classes: Count | None = None,
    test_share: TestShare | None = None,
    test_seed: CountOrNone = 0,
) -> Dataset:
    """Samples in float32 as they are in the files, user after user.

    Args:
        data_dir: where files and folders count from.
        train: a file, or a folder whose .json files are read in the order of their names.
        test: the same for the test set; None: a share of the training set.
        shape: of a sample, such as [1, 28, 28]; None: (k,), as many as it has numbers.
        num_classes: how many labels there are; None: as many as the largest says.
        test_share: of each label, where test is not given; None: a fifth.
        test_seed: fixes which samples that are.
    """
    held = _Held(below(data_dir, train), below(data_dir, test) if test else None, num_classes, test_share, test_seed)
    num_values = values_in_a_sample(held.users)
    if shape is not None and np.prod(shape) != num_values:
        at = f"{held.users[0].at}, x[0]"
        raise DataError(f"{at}: has {num_values} numbers, but samples of shape {list(shape)} have {np.prod(shape)}")
    known, tail = held.labels, shape or [num_values]
    x = joined(held.users, num_values).reshape(-1, *tail)
    if held.tested is None:
        return Dataset(x[~held.is_test], known.train_y, x[held.is_test], held.everything_y[held.is_test],
                       known.num_classes, known.clients)  # fmt: skip
    test_x = joined(held.tested, num_values).reshape(-1, *tail)
    return Dataset(x, known.train_y, test_x, held.test_y, known.num_classes, known.clients)


def labels(
    data_dir: Path,
    train: str = "train",
    test: str | None = None,
    num_classes: int | None = None,
    test_share: float | None = None,
    test_seed: int = 0,
) -> Labels:
    """What users and labels say; the files are read, samples are not looked at."""
    held = _Held(below(data_dir, train), below(data_dir, test) if test else None, num_classes, test_share, test_seed)
    return held.labels


@dataclass(frozen=True)
class _Held:
    """What LEAF's files hold."""

    train: Path
    test: Path | None
    num_classes: int | None
    test_share: float | None
    test_seed: int

    @cached_property
    def users(self) -> Sequence[LeafUser]:
        """Who trains."""
        return read_leaf(self.train)

    @cached_property
    def tested(self) -> Sequence[LeafUser] | None:
        """Whose samples are tested; None where it is a share of those of all."""
        if self.test is None:
            return None
        one_test_set(f"{self.test}", self.test_share)
        return read_leaf(self.test)

    @cached_property
    def everything_y(self) -> NDArray[np.int64]:
        """The labels of those who train, of which a part may be tested."""
        return joined_labels(self.users, self.num_classes)

    @cached_property
    def test_y(self) -> NDArray[np.int64]:
        """The labels of those who are tested."""
        return self.everything_y[self.is_test] if self.tested is None else joined_labels(self.tested, self.num_classes)

    @cached_property
    def is_test(self) -> NDArray[np.bool_]:
        """Which of all are tested."""
        if self.tested is not None:
            return np.zeros(len(self.everything_y), bool)
        return drawn_test(self.everything_y, self.test_share, self.test_seed, self.train)

    @cached_property
    def labels(self) -> Labels:
        """Of the training samples."""
        needed = int(max(self.everything_y.max(), self.test_y.max())) + 1
        number = check_number(self.num_classes, needed, self.train)
        return Labels(self.everything_y[~self.is_test], number, self._clients()[~self.is_test])

    def _clients(self) -> NDArray[Any]:
        names = np.asarray([user.name for user in self.users], dtype=np.str_)
        return np.repeat(names, [len(user.data["y"]) for user in self.users])
