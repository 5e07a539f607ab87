"""A data set's samples and labels by their places, as the model eats them."""

from __future__ import annotations

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

Places = NDArray[np.int64] | slice


class Samples:
    """Gives samples on the device. A GPU holds a small data set itself, as it is stored; of others it is sent parts."""

    def __init__(
        self,
        x_S: NDArray[Any],
        y_S: NDArray[Any],
        scale: Scale | None,
        size: int | None,
        device: torch.device,
        *,
        resident: bool | None = None,
    ) -> None:
        """Looks at the data only.

        Args:
            x_S: samples (S, ...), uint8 images (0 to 255), float32 or int64; may be read-only.
            y_S: their targets, int64 or float32, (S, ...).
            scale: mean and standard deviation per channel; None: samples are taken as they are.
            size: ``transform_input_size``.
            device: where to.
            resident: whether all of it stays on the device; None: on a GPU, if it is small enough.
        """
        if resident is None:
            resident = device.type == "cuda" and x_S.nbytes <= RESIDENT_BYTES
        self._x: NDArray[Any] | Tensor = transfer.to_device(x_S, device) if resident else x_S
        self._y: NDArray[Any] | Tensor = transfer.to_device(y_S, device) if resident else y_S
        self._scale, self._size, self._device = scale, size, device

    def __len__(self) -> int:
        return len(self._y)

    def take(self, places: Places) -> tuple[Tensor, Tensor]:
        """Some samples, normalised where that is asked for, and their targets, on the device."""
        return model_input(self._at(self._x, places), self._scale, self._size), self._at(self._y, places)

    def _at(self, values: NDArray[Any] | Tensor, places: Places) -> Tensor:
        if isinstance(values, np.ndarray):
            return transfer.to_device(values[places], self._device)
        if isinstance(places, slice):
            return values[places]
        return values.index_select(0, transfer.to_device(places, self._device))
