"""A data set's samples and labels by their places, as the model eats them."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedchunk.orchestrator.learning import transfer
from fedchunk.orchestrator.learning.data.dataset import Scale
from fedchunk.orchestrator.learning.preprocess import model_input

RESIDENT_BYTES = 1 << 30
"""Data sets up to this size stay on a GPU: then nothing of them crosses to it while clients train."""

Places = NDArray[np.int64] | Tensor | slice
"""Numbers of samples: a tensor on the device where the samples are there, too."""


class Samples:
    """Gives samples on the device. A GPU holds a small data set itself, as it is stored; of others it is sent parts.

    Only what is taken is read, so that a data set that is mapped from disk need not fit into memory.
    """

    def __init__(
        self,
        x_S: NDArray[Any] | Tensor,
        y_S: NDArray[Any] | Tensor,
        scale: Scale | None,
        size: int | None,
        device: torch.device,
        *,
        resident: bool | None = None,
    ) -> None:
        """Looks at the data only.

        Args:
            x_S: samples (S, ...), uint8 images (0 to 255), float32 or int64; may be read-only.
                Tensors are on the device.
            y_S: their targets, int64 or float32, (S, ...), likewise.
            scale: mean and standard deviation per channel; None: samples are taken as they are.
            size: ``transform_input_size``.
            device: where to.
            resident: whether all of it stays on the device; None: on a GPU, if it is small enough.
        """
        if resident is None:
            resident = device.type == "cuda" and x_S.nbytes <= RESIDENT_BYTES
        self._x, self._y = (_resident(values, device) if resident else values for values in (x_S, y_S))
        self._scale, self._size, self._device = scale, size, device

    def __len__(self) -> int:
        return len(self._y)

    def places(self, rows_E: NDArray[np.int64]) -> NDArray[np.int64] | Tensor:
        """Where the samples of these numbers are, once for many :meth:`take`, each of some of them."""
        return transfer.to_device(rows_E, self._device) if isinstance(self._x, Tensor) else rows_E

    def take(self, places: Places) -> tuple[Tensor, Tensor]:
        """Some samples, normalised where that is asked for, and their targets, on the device."""
        return model_input(self._at(self._x, places), self._scale, self._size), self._at(self._y, places)

    @cached_property
    def first(self) -> Tensor:
        """The first sample as :meth:`take` gives it, (1, ...): what there is to know of all."""
        return self.take(slice(0, 1))[0]

    def _at(self, values: NDArray[Any] | Tensor, places: Places) -> Tensor:
        if isinstance(places, slice):
            return _resident(values[places], self._device)
        if isinstance(values, np.ndarray):
            return transfer.to_device(values[np.asarray(places)], self._device)
        return values.index_select(0, _resident(places, self._device))


def _resident(values: NDArray[Any] | Tensor, device: torch.device) -> Tensor:
    return values if isinstance(values, Tensor) else transfer.to_device(values, device)


class Part:
    """Some samples of a data set, counted from 0: a client's, or a group's, one client behind the other."""

    def __init__(self, samples: Samples, rows_S: NDArray[np.int64]) -> None:
        self._samples, self._rows = samples, rows_S

    @classmethod
    def whole(cls, x_S: Tensor, y_S: Tensor) -> Part:
        """Samples that are as the model eats them already, (S, ...), and their targets, on the model's device."""
        return cls(Samples(x_S, y_S, None, None, x_S.device), np.arange(len(x_S)))

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, rows: slice) -> Part:
        return Part(self._samples, self._rows[rows])

    def places(self, rows_E: NDArray[np.int64]) -> NDArray[np.int64] | Tensor:
        """Where its samples of these numbers are, once for many :meth:`take`, each of some of them."""
        return self._samples.places(self._rows[rows_E])

    @property
    def first(self) -> Tensor:
        """The data set's first sample as :meth:`take` gives it, (1, ...)."""
        return self._samples.first

    def take(self, places: Places) -> tuple[Tensor, Tensor]:
        """The samples at these places, as the model eats them, and their targets, on the device."""
        return self._samples.take(places)
