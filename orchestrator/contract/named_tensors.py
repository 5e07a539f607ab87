"""A model's flat values as one array for each parameter and buffer, by its name; and back."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.contract.messages import ModelSpec, ModelState

Tensors = Mapping[str, NDArray[np.generic]]


def tensors_by_name(spec: ModelSpec, model: ModelState) -> dict[str, NDArray[np.generic]]:
    """A model's flat values as one array per parameter and buffer, by its name and in its shape."""
    tensors: dict[str, NDArray[np.generic]] = {
        parameter.name: model.weights_P[parameter.start : parameter.stop].reshape(parameter.shape)
        for parameter in spec.parameters
    }
    for buffer in spec.buffers:
        source: NDArray[np.generic] = model.counters_I if buffer.is_integer else model.buffers_B
        tensors[buffer.name] = source[buffer.start : buffer.stop].reshape(buffer.shape)
    return tensors


def state_of(spec: ModelSpec, tensors: Tensors) -> ModelState:
    """The flat values of a model of this spec.

    Raises ValueError: names or shapes are not the model's; the message lists what is missing, unexpected or other.
    """
    shapes = {one.name: tuple(one.shape) for one in spec.parameters}
    shapes |= {one.name: tuple(one.shape) for one in spec.buffers}
    found = {name: tuple(values.shape) for name, values in tensors.items()}
    problems = [
        *(f"{name} is missing" for name in shapes if name not in found),
        *(f"{name} is not the model's" for name in found if name not in shapes),
        *(
            f"{name} has shape {found[name]}, the model's has {shape}"
            for name, shape in shapes.items()
            if name in found and found[name] != shape
        ),
    ]
    if problems:
        more = f", and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise ValueError("; ".join(problems[:3]) + more)

    def flat(names: list[str], dtype: type[np.generic]) -> NDArray[np.generic]:
        parts = [np.asarray(tensors[name]).astype(dtype, copy=False).reshape(-1) for name in names]
        return np.concatenate(parts) if parts else np.empty(0, dtype)

    return ModelState(
        flat([one.name for one in spec.parameters], np.float32),  # type: ignore[arg-type]
        flat([one.name for one in spec.buffers if not one.is_integer], np.float32),  # type: ignore[arg-type]
        flat([one.name for one in spec.buffers if one.is_integer], np.int64),  # type: ignore[arg-type]
    )
