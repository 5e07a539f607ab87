"""What models of images ask of their input, and what is said where they do not get it."""

from __future__ import annotations

from fedchunk.orchestrator.core.errors import ConfigError, Fault


def image_shape(model: str, input_shape: tuple[int, ...], minimum: int = 1, *, square: bool = False) -> tuple[int, ...]:
    """Channels, height and width, if samples of this shape are images that the model can work on.

    Args:
        model: its name, for the message.
        input_shape: of one sample.
        minimum: least height and width in pixels.
        square: whether both must be equal.

    Raises:
        ConfigError: they are not.
    """
    if len(input_shape) != 3:
        raise ConfigError(
            [Fault("", "model_type", f"{model!r} needs images (channels, height, width), got samples of {input_shape}")]
        )
    _, height, width = input_shape
    if min(height, width) < minimum:
        raise size_fault(
            f"{model!r} needs images of {minimum} x {minimum} pixels or more, got {height} x {width}: "
            f"set transform_input_size to {minimum} or more"
        )
    if square and height != width:
        raise size_fault(f"{model!r} needs square images, got {height} x {width}: set transform_input_size")
    return input_shape


def size_fault(message: str) -> ConfigError:
    """An error that points at the size of the images."""
    return ConfigError([Fault("", "transform_input_size", message)])
