"""Copies between numpy arrays and a device. To and from a GPU they pass through pinned memory.

From pinned memory a copy runs beside the GPU's work, and nobody waits for it; torch keeps the memory until it is done.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def fill(target: Tensor, values: NDArray[Any]) -> None:
    """Copies ``values``, which may be read-only and stay untouched, into a tensor of the same shape and type."""
    if target.device.type == "cpu":
        np.copyto(target.numpy(), values)
    else:
        target.copy_(_pinned(torch.from_numpy(_writable(values))), non_blocking=True)


def spread(target: Tensor, source: Tensor) -> None:
    """Copies ``source`` into each row of a tensor on the same device."""
    if target.device.type == "cpu":
        np.copyto(target.numpy(), source.numpy())  # whole rows at once: two thirds of the time that torch takes
    else:
        target.copy_(source)


def to_device(values: NDArray[Any], device: torch.device) -> Tensor:
    """A tensor with the values; on the CPU it may share their memory where that is writable."""
    tensor = torch.from_numpy(_writable(values))
    return tensor if device.type == "cpu" else _pinned(tensor).to(device, non_blocking=True)


def host_copy(tensor: Tensor) -> NDArray[Any]:
    """A numpy array of its own with the tensor's values; waits until they are there."""
    values = tensor.detach()
    if values.device.type == "cpu":
        copied = values.clone(memory_format=torch.contiguous_format)
    else:
        copied = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
        copied.copy_(values, non_blocking=True)
        torch.cuda.current_stream(values.device).synchronize()
    array: NDArray[Any] = copied.numpy()
    return array


def _pinned(tensor: Tensor) -> Tensor:
    staged = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    return staged.copy_(tensor)


def _writable(values: NDArray[Any]) -> NDArray[Any]:
    """torch warns of arrays that are read-only, as those from the object store are."""
    return values if values.flags.writeable else values.copy()
