"""From stored samples to what a model eats, and the process-wide switches of torch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from fedchunk.orchestrator.learning import transfer
from fedchunk.orchestrator.learning.data.dataset import Scale


def to_device(x: NDArray[Any], scale: Scale | None, size: int | None, device: torch.device | str) -> Tensor:
    """Samples as the model eats them, on the device: (S, ...), or (S, c, size, size).

    Args:
        x: samples (S, ...), uint8 images (0 to 255), float32 or int64; may be read-only.
        scale: mean and standard deviation (above 0) per channel, of bytes on the scale 0 to 1; None: none are applied.
        size: ``transform_input_size`` of images; bilinear, with antialiasing where it shrinks, as torchvision resizes.
            None keeps the size.
        device: where to.
    """
    return model_input(transfer.to_device(x, torch.device(device)), scale, size)


def model_input(samples: Tensor, scale: Scale | None, size: int | None) -> Tensor:
    """What :func:`to_device` makes of samples that are on the device already; they stay as they are."""
    if scale is not None:
        samples = _normalised(samples, *scale)
    if size is None or samples.shape[2:] == (size, size):
        return samples
    return functional.interpolate(samples, size=(size, size), mode="bilinear", antialias=True)


def _normalised(samples: Tensor, mean_c: NDArray[np.float32], std_c: NDArray[np.float32]) -> Tensor:
    scaled = samples.to(torch.float32, copy=True)
    if samples.dtype == torch.uint8:
        scaled.div_(255)
    by_channel = (-1, *(1,) * (samples.ndim - 2))
    mean, std = (transfer.to_device(values_c, samples.device).view(by_channel) for values_c in (mean_c, std_c))
    return scaled.sub_(mean).div_(std)


def configure_torch(threads: int, deterministic: bool, device: torch.device | str) -> None:
    """Sets torch up for this process; to be called before its first CUDA operation.

    Args:
        threads: threads of one operation. Sums depend on it, so it is part of what makes bits repeat.
        deterministic: refuse algorithms that may give other bits in another run.
        device: on ``cuda``, cuBLAS and cuDNN are told too.
    """
    torch.set_num_threads(threads)
    if torch.device(device).type == "cuda":
        # cuBLAS reads it once, when its first handle is made: a later run in this process may want to be deterministic.
        # This value costs 24 MB and is one of the two that it allows.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # As use_deterministic_algorithms, which imports the compiler as well: more than a second before the first step.
    torch.set_deterministic_debug_mode("error" if deterministic else "default")
    # New memory is always written before it is read here; torch would fill it first, to show where it is not.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False  # timing algorithms at the start picks another one in another run


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Inside, torch draws from ``seed`` on the CPU and on ``device``; outside, its random state is as it was."""
    cuda_devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda_devices):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would change all GPUs for good
        for cuda_device in cuda_devices:
            with torch.cuda.device(cuda_device):
                torch.cuda.manual_seed(seed)
        yield
