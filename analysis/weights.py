"""The final model of a run: read from its folder, and copied into a torch module. Torch itself is not imported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.core.errors import RecordsError
from fedchunk.orchestrator.core.manifest import check

Weights = dict[str, NDArray[np.generic]]

FILE = "weights.safetensors"


def read_weights(folder: Path, status: str, num_rounds: int) -> Weights:
    """The arrays of ``weights.safetensors`` by name, read-only.

    Args:
        folder: the run's folder.
        status: how the run ended; says why there may be no weights.
        num_rounds: how many rounds had finished; likewise.

    Raises:
        RecordsError: there is no such file, or it is damaged.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    file = folder / FILE
    if not file.is_file():
        raise RecordsError(f"{file}: this run has no weights: {_why_none(status, num_rounds)}")
    check(folder, file)
    try:
        weights: Weights = load_file(file)
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise RecordsError(f"{file}: cannot be read ({error}); it is damaged: restore it, or repeat the run") from error
    for values in weights.values():
        values.flags.writeable = False
    return weights


def _why_none(status: str, num_rounds: int) -> str:
    if not num_rounds:
        return "no round had finished"
    if status == "running":
        return "they are written when a run ends, and this one is still running, or was killed"
    if status == "failed":
        return "it failed, and they are written when a run finishes or is interrupted"
    return "the file is gone, or could not be written; restore it, or repeat the run"


def copy_into(
    module: Any, weights: Mapping[str, NDArray[np.generic]], path: object, at_home: Sequence[str] = ()
) -> None:
    """Writes the weights into a torch module's own tensors; all of them, or none where something does not fit.

    Tensors of the module whose names fit the patterns ``at_home`` stay as they are: of these a run has no values.

    Raises:
        RecordsError: names or shapes differ; the message lists all that do.
    """
    tensors = {
        name: tensor
        for name, tensor in _tensors(module).items()
        if not any(fnmatchcase(name, pattern) for pattern in at_home)
    }
    faults = _faults({name: tuple(tensor.shape) for name, tensor in tensors.items()}, weights)
    if faults:
        raise RecordsError(
            f"{path}: its weights do not fit the {type(module).__name__}: {'; '.join(faults)}; "
            "make the module with the options that the run had"
        )
    for name, tensor in tensors.items():
        tensor.copy_(tensor.new_tensor(weights[name]))


def _tensors(module: Any) -> dict[str, Any]:
    """The module's parameters and saved buffers by name, as a run records them: tied ones once."""
    state = module.state_dict()  # shares memory with the module
    named = [*module.named_parameters(), *module.named_buffers()]
    return {name: state[name] for name, _ in named if name in state}


def _faults(shapes: Mapping[str, tuple[int, ...]], weights: Mapping[str, NDArray[np.generic]]) -> list[str]:
    """What differs between a module and the recorded weights, in words."""
    missing = [name for name in shapes if name not in weights]
    unexpected = [name for name in weights if name not in shapes]
    other = [
        f"{name} (recorded {weights[name].shape}, in the module {shape})"
        for name, shape in shapes.items()
        if name in weights and weights[name].shape != shape
    ]
    found = (
        ("the run did not record", missing),
        ("the module does not have", unexpected),
        ("of another shape", other),
    )
    return [f"{what}: {', '.join(names)}" for what, names in found if names]
