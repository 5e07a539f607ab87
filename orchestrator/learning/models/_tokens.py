"""What models of tokens ask of their input, and what is said where they do not get it."""

from __future__ import annotations

from torch import Tensor

from fedchunk.orchestrator.core.errors import ConfigError, Fault


def token_count(model: str, input_shape: tuple[int, ...]) -> int:
    """T, if samples of this shape may be T tokens each.

    Raises:
        ConfigError: they are none.
    """
    if len(input_shape) != 1:
        message = f"{model!r} needs samples of tokens (T,), got samples of {input_shape}"
        raise ConfigError([Fault("", "model_type", message)])
    return input_shape[0]


def whole_numbers(model: str, x_BT: Tensor) -> Tensor:
    """The samples themselves. Raises TypeError for such as are no tokens: a table's floats have the same shape."""
    if x_BT.is_floating_point():
        raise TypeError(f"{model!r} needs samples of tokens, whole numbers from 0; got {x_BT.dtype}")
    return x_BT
