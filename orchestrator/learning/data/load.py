"""The data set of the settings: loaded, and checked in one place, ours and the user's alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.components import Bound
from fedchunk.orchestrator.core.errors import ConfigError, DataError, Fault
from fedchunk.orchestrator.learning.data.dataset import (
    Dataset,
    LoadedDataset,
    Scale,
    channel_statistics,
    is_image_bytes,
)
from fedchunk.orchestrator.learning.data.places import data_folder
from fedchunk.orchestrator.settings.joined import Sections


def load_dataset(settings: Sections) -> LoadedDataset:
    """The data set that the settings name.

    Raises:
        DataError: files are missing or corrupt, or samples and labels are not what they must be; the message says
            which and what to do.
        ComponentFailed: a user's data set raised, or returned no ``Dataset``.
        ConfigError: samples are to be resized that are no images.
    """
    bound = settings.bound("dataset")
    given = bound(
        data_dir=data_folder(settings.data),
        seed=settings.federation.random_seed,
        download=settings.data.download,
        **settings.on_offer("dataset"),
    )
    if not isinstance(given, Dataset):
        raise bound.failed(f"returned {type(given).__name__}, expected a fedchunk Dataset")
    return _Check(bound).checked(given, settings.data.transform_input_size)


@dataclass(frozen=True)
class _Check:
    """Says what is wrong with a data set, in the name of its component."""

    bound: Bound

    def checked(self, given: Dataset, size: int | None) -> LoadedDataset:
        """The data set with arrays of types that travel and train."""
        train_x, train_y = self._part("train", given.train_x, given.train_y)
        test_x, test_y = self._part("test", given.test_x, given.test_y)
        if train_x.shape[1:] != test_x.shape[1:] or train_x.dtype != test_x.dtype:
            raise self._wrong(
                f"train_x has samples of {train_x.shape[1:]} in {train_x.dtype}, test_x of {test_x.shape[1:]} in "
                f"{test_x.dtype}: both must be alike"
            )
        if size is not None and (train_x.ndim != 4 or train_x.dtype == np.int64):
            message = f"got {size}, but samples of {train_x.shape[1:]} are no images (channels, height, width)"
            raise ConfigError([Fault("", "transform_input_size", f"{message}: set it to null")])
        scale = self._scale(given, train_x)
        return LoadedDataset(
            name=given.name or self.bound.short_name,
            train_x=train_x,
            train_y=train_y,
            test_x=test_x,
            test_y=test_y,
            num_classes=self._num_classes(given.num_classes, train_y, test_y),
            clients_S=self._clients(given, len(train_y)),
            mean_c=scale[0] if scale else None,
            std_c=scale[1] if scale else None,
            size=size,
        )

    def _wrong(self, reason: str) -> DataError:
        return DataError(str(self.bound.failed(reason)))

    def _part(self, part: str, x: Any, y: Any) -> tuple[NDArray[Any], NDArray[np.int64]]:
        samples, labels = self._samples(f"{part}_x", x), self._labels(f"{part}_y", y)
        if len(samples) != len(labels):
            raise self._wrong(f"{part}_x has {len(samples)} samples, {part}_y {len(labels)} labels")
        return samples, labels

    def _array(self, field: str, values: Any) -> NDArray[Any]:
        with self.bound.named():
            array = np.asarray(values)
        if array.ndim == 0 or len(array) == 0:
            raise self._wrong(f"{field} is empty")
        return array

    def _samples(self, field: str, values: Any) -> NDArray[Any]:
        x = self._array(field, values)
        if x.size == 0:
            raise self._wrong(f"{field} has samples of {x.shape[1:]}, which hold nothing")
        if is_image_bytes(x):
            return x
        if x.dtype.kind in "ui":
            return x.astype(np.int64, copy=False)
        if x.dtype.kind not in "fb":
            raise self._wrong(f"{field} is of type {x.dtype}, expected numbers")
        with np.errstate(over="ignore"):
            floats = x.astype(np.float32, copy=False)
        if not _all_finite(floats):
            raise self._wrong(f"{field} holds values that are nan, infinite or beyond float32")
        return floats

    def _labels(self, field: str, values: Any) -> NDArray[np.int64]:
        y = self._array(field, values)
        if y.ndim != 1:
            raise self._wrong(f"{field} has shape {y.shape}, expected one label for each sample: (S,)")
        if y.dtype.kind not in "uib":
            raise self._wrong(f"{field} is of type {y.dtype}, expected whole numbers from 0")
        if y.min() < 0:
            raise self._wrong(f"{field} holds the label {y.min()}, expected whole numbers from 0")
        return y.astype(np.int64, copy=False)

    def _num_classes(self, given: int | None, train_y: NDArray[np.int64], test_y: NDArray[np.int64]) -> int:
        largest = int(max(train_y.max(), test_y.max()))
        if given is None:
            return largest + 1
        if isinstance(given, bool) or not isinstance(given, int | np.integer) or given < 1:
            raise self._wrong(f"num_classes is {given!r}, expected a whole number from 1 or None")
        if largest >= given:
            raise self._wrong(f"a label is {largest}, but num_classes is {given}: allowed are 0 to {given - 1}")
        return int(given)

    def _clients(self, given: Dataset, num_samples: int) -> NDArray[Any] | None:
        if given.clients is None:
            return None
        clients_S = self._array("clients", given.clients)
        if clients_S.shape != (num_samples,):
            raise self._wrong(f"clients has shape {clients_S.shape}, expected ({num_samples},), as train_y")
        return clients_S

    def _scale(self, given: Dataset, train_x: NDArray[Any]) -> Scale | None:
        if given.mean_c is None and given.std_c is None:
            return channel_statistics(train_x) if is_image_bytes(train_x) else None
        if given.mean_c is None or given.std_c is None:
            raise self._wrong("gives one of mean_c and std_c, expected both or none")
        if train_x.dtype == np.int64:
            raise self._wrong("gives mean_c and std_c for whole numbers: only images of bytes and floats have them")
        channels = train_x.shape[1:2]
        with self.bound.named():
            mean_c, std_c = (np.asarray(values, np.float32) for values in (given.mean_c, given.std_c))
        for field, values_c in (("mean_c", mean_c), ("std_c", std_c)):
            if values_c.shape != channels or not np.isfinite(values_c).all():
                raise self._wrong(f"{field} is {values_c.tolist()}, expected finite numbers of shape {channels}")
        if not (std_c > 0).all():
            raise self._wrong(f"std_c is {std_c.tolist()}, expected numbers above 0")
        return mean_c, std_c


def _all_finite(x: NDArray[np.float32]) -> bool:
    """Whether no value is nan or infinite. In float64 no sum of finite ones overflows, and it needs no second array."""
    with np.errstate(invalid="ignore"):
        return bool(np.isfinite(np.add.reduce(x, axis=None, dtype=np.float64)))
