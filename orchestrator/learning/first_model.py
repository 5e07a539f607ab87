"""The weights that a run begins with, where a file has them. No torch."""

from __future__ import annotations

from os.path import expanduser
from pathlib import Path

from fedchunk.orchestrator.contract.named_tensors import Tensors
from fedchunk.orchestrator.core.errors import ConfigError, Fault
from fedchunk.orchestrator.settings.sections import FederationSettings


def load_first_model(settings: FederationSettings) -> Tensors | None:
    """The tensors of ``initial_model``, by name; None where it is no file. Raises ConfigError."""
    if settings.initial_file is None:
        return None
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    file = Path(expanduser(settings.initial_file))
    try:
        tensors: Tensors = load_file(file)
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        message = f"{file} cannot be read ({error}); give a .safetensors file, such as a run's weights.safetensors"
        raise ConfigError([Fault("", "initial_model", message)]) from None
    return tensors
