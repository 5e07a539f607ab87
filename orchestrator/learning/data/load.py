"""The data set of the settings: loaded, and checked in one place, ours and the user's alike."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
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
from fedchunk.orchestrator.learning.data.tokens import TokenizerInForce
from fedchunk.orchestrator.learning.task import TaskInForce
from fedchunk.orchestrator.settings.joined import Sections


def load_dataset(settings: Sections) -> LoadedDataset:
    """The data set that the settings name.

    Raises:
        DataError: files are missing or corrupt, or samples and targets are not what the task takes; the message says
            which and what to do.
        ComponentFailed: a user's data set raised, or returned no ``Dataset``.
        ConfigError: samples are to be resized that are no images.
    """
    bound = settings.bound("dataset")
    given = bound(
        data_dir=data_folder(settings.data),
        seed=settings.federation.random_seed,
        download=settings.data.download,
        task=settings.task_facts.name,
        task_targets=settings.task_facts.data_targets,
        **settings.on_offer("dataset") | {"tokenizer": TokenizerInForce.of(settings)},
    )
    if not isinstance(given, Dataset):
        raise bound.failed(f"returned {type(given).__name__}, expected a fedchunk Dataset")
    return _Check(bound, TaskInForce.of(settings)).checked(given, settings.data.transform_input_size)


@dataclass(frozen=True)
class _Check:
    """Says what is wrong with a data set, in the name of its component."""

    bound: Bound
    task: TaskInForce

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
        with self._said():
            num_outputs = self.task.num_outputs(given.num_classes, (train_y, test_y), (train_x, test_x))
        scale = self._scale(given, train_x)
        return LoadedDataset(
            name=given.name or self.bound.short_name,
            train_x=train_x,
            train_y=train_y,
            test_x=test_x,
            test_y=test_y,
            num_classes=num_outputs,
            clients_S=self._clients(given, len(train_y)),
            mean_c=scale[0] if scale else None,
            std_c=scale[1] if scale else None,
            size=size,
            token_bytes_V=self._token_bytes(given, num_outputs),
        )

    def _wrong(self, reason: str) -> DataError:
        return DataError(str(self.bound.failed(reason)))

    @contextmanager
    def _said(self) -> Iterator[None]:
        """What the task finds wrong is the data set's fault, and said in its name."""
        try:
            yield
        except ValueError as error:
            hint = "" if self.task.facts.one_label else f" (task: {self.task.facts.name})"
            raise self._wrong(f"{error}{hint}") from None

    def _part(self, part: str, x: Any, y: Any) -> tuple[NDArray[Any], NDArray[Any]]:
        samples, given = self._samples(f"{part}_x", x), self._array(f"{part}_y", y)
        with self._said():
            targets = self.task.targets(f"{part}_y", given, samples)
        if len(samples) != len(targets):
            what = "labels" if self.task.facts.one_label else "targets"
            raise self._wrong(f"{part}_x has {len(samples)} samples, {part}_y {len(targets)} {what}")
        return samples, targets

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

    def _token_bytes(self, given: Dataset, num_outputs: int) -> NDArray[np.int64] | None:
        if given.token_bytes is None:
            return None
        sizes_V = self._array("token_bytes", given.token_bytes)
        if sizes_V.shape != (num_outputs,) or sizes_V.dtype.kind not in "ui" or sizes_V.min() < 0:
            found = f"{sizes_V.dtype} of shape {sizes_V.shape}"
            raise self._wrong(f"token_bytes is {found}, expected whole numbers from 0 of shape ({num_outputs},)")
        return sizes_V.astype(np.int64, copy=False)

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
