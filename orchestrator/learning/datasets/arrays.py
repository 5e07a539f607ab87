"""Arrays in a .npz file, a folder of .npy or a .safetensors file: train_x, train_y, test_x, test_y, clients."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.core.errors import DataError
from fedchunk.orchestrator.learning.data.array_files import ArrayFile
from fedchunk.orchestrator.learning.data.array_targets import array_targets
from fedchunk.orchestrator.learning.data.dataset import Dataset
from fedchunk.orchestrator.learning.data.labels import Labels, check_number, whole_labels
from fedchunk.orchestrator.learning.data.places import below
from fedchunk.orchestrator.learning.data.split import drawn_test, drawn_test_of_all, one_test_set
from fedchunk.orchestrator.settings.option_types import Count, CountOrNone, TestShare


def arrays(
    data_dir: Path,
    file: str,
    task_targets: str,
    num_classes: Count | None = None,
    test_share: TestShare | None = None,
    test_seed: CountOrNone = 0,
) -> Dataset:
    """Samples of any shape as they are in the file; .npy and .safetensors are mapped from disk.

    Args:
        data_dir: where ``file`` counts from.
        file: has train_x, train_y; test_x and test_y; and clients, whose each training sample is, if they are known.
        task_targets: what the task takes: train_y and test_y are labels (S,), numbers (S,) or (S, d), flags (S, L) or
            tokens (S, T).
        num_classes: how many labels, or tokens, there are; None: as many as the largest says.
        test_share: of each label, or of all samples, where there is no test_x (they are read into memory then); None: a
            fifth.
        test_seed: fixes which samples that are.
    """
    held = _Held(ArrayFile(below(data_dir, file)), task_targets, num_classes, test_share, test_seed)
    x = held.file.samples("train_x")
    if len(x) != len(held.everything_y):
        raise held.unequal("train_x", len(x), "train_y", len(held.everything_y))
    number, clients = held.num_labels, held.clients
    if held.test_y is None:
        return Dataset(
            x[~held.is_test], held.train_y, x[held.is_test], held.everything_y[held.is_test], number, clients
        )
    test_x = held.file.samples("test_x")
    if len(test_x) != len(held.test_y):
        raise held.unequal("test_x", len(test_x), "test_y", len(held.test_y))
    if test_x.shape[1:] != x.shape[1:] or test_x.dtype != x.dtype:
        raise DataError(
            f"{held.file.path}: train_x has samples of shape {x.shape[1:]} in {x.dtype}, test_x of {test_x.shape[1:]} "
            f"in {test_x.dtype}; both must be alike"
        )
    return Dataset(x, held.train_y, test_x, held.test_y, number, clients)


def labels(
    data_dir: Path,
    file: str,
    task_targets: str = "labels",
    num_classes: int | None = None,
    test_share: float | None = None,
    test_seed: int = 0,
) -> Labels:
    """What train_y, test_y and clients say."""
    held = _Held(ArrayFile(below(data_dir, file)), task_targets, num_classes, test_share, test_seed)
    return Labels(held.train_y, held.num_labels or 0, held.clients)


@dataclass(frozen=True)
class _Held:
    """What a file of arrays says without its samples."""

    file: ArrayFile
    task_targets: str
    num_classes: int | None
    test_share: float | None
    test_seed: int

    @cached_property
    def everything_y(self) -> NDArray[Any]:
        """train_y, of which a part may be tested."""
        return self._targets("train_y")

    @cached_property
    def test_y(self) -> NDArray[Any] | None:
        """None where the test set is a share."""
        if "test_x" not in self.file and "test_y" not in self.file:
            return None
        one_test_set("test_x", self.test_share)
        return self._targets("test_y")

    @cached_property
    def is_test(self) -> NDArray[np.bool_]:
        """Which of train_y are tested."""
        if self.test_y is not None:
            return np.zeros(len(self.everything_y), bool)
        if self.task_targets != "labels":
            return drawn_test_of_all(len(self.everything_y), self.test_share, self.test_seed, self.file.path)
        return drawn_test(self.everything_y, self.test_share, self.test_seed, self.file.path)

    @property
    def train_y(self) -> NDArray[Any]:
        """The targets of the samples that are not tested; of files that are mapped no copy, where these are all."""
        return self.everything_y if self.test_y is not None else self.everything_y[~self.is_test]

    @property
    def num_labels(self) -> int | None:
        """How many labels there are; of other targets what the option says."""
        if self.task_targets != "labels":
            return self.num_classes
        tested = self.everything_y if self.test_y is None else self.test_y
        needed = int(max(self.everything_y.max(), tested.max())) + 1
        return check_number(self.num_classes, needed, self.file.path)

    def _targets(self, name: str) -> NDArray[Any]:
        if self.task_targets == "labels":
            return self._labels(name)
        return array_targets(self.file, name, self.task_targets)

    def _labels(self, name: str) -> NDArray[np.int64]:
        values = self.file.get(name)
        if values.ndim != 1:
            raise DataError(
                f"{self.file.at(name)}: has shape {values.shape}; one label for each sample is wanted: (S,)"
            )
        return whole_labels(values, partial(self.file.at, name), self.num_classes)

    @cached_property
    def clients(self) -> NDArray[Any] | None:
        """Whose each training sample is, if that is known."""
        if "clients" not in self.file:
            return None
        clients_S = self.file.get("clients")
        if clients_S.ndim != 1 or clients_S.dtype.kind not in "uiU":
            found = f"{clients_S.dtype} of shape {clients_S.shape}"
            raise DataError(
                f"{self.file.at('clients')}: is {found}; one whole number or text for each sample is wanted"
            )
        if len(clients_S) != len(self.everything_y):
            raise self.unequal("clients", len(clients_S), "train_y", len(self.everything_y))
        return clients_S[~self.is_test]

    def unequal(self, one: str, length: int, other: str, other_length: int) -> DataError:
        """An error about two arrays that should be of one length."""
        return DataError(
            f"{self.file.path}: {one} has {length:,} samples, {other} {other_length:,}; both must be equal"
        )
