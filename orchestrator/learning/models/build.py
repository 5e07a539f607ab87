"""Models by name, fitted to the images' channels, size and classes. Own nets here, torchvision's in ``vision``."""

from __future__ import annotations

import math

import torch
from fedchunk.orchestrator.contract.messages import ModelSpec
from fedchunk.orchestrator.core.errors import ConfigError, Fault
from fedchunk.orchestrator.core.seeds import torch_seed
from fedchunk.orchestrator.learning.models.flatten import spec_of
from fedchunk.orchestrator.learning.preprocess import seeded
from fedchunk.orchestrator.settings.sections import TrainingSettings
from torch import nn

ImageShape = tuple[int, int, int]
"""Channels, height and width of what the model is given, after any resize."""

HIDDEN = 200
"""Width of the MLP's two hidden layers, as in McMahan et al., "Communication-Efficient Learning" (2017), the 2NN."""


def build_model(
    settings: TrainingSettings, image_shape: ImageShape, num_classes: int, seed: int, download: bool = False
) -> nn.Module:
    """A new model on the CPU; the same seed gives the same values, and torch's own random state stays as it was.

    Args:
        settings: ``model_type`` and ``pretrained_models``.
        image_shape: (c, h, w) of the images after ``transform_input_size``.
        num_classes: number of outputs.
        seed: ``random_seed``.
        download: whether pretrained weights that are not on disk may be downloaded.

    Raises:
        ConfigError: the images are too small for the model, or it has no pretrained weights.
        DataError: pretrained weights are not on disk and may not be, or could not be, downloaded.
    """
    if settings.pretrained_models and settings.model_type in OWN_MODELS:
        raise _fault("pretrained_models", f"there are no such weights for {settings.model_type!r}: set it to false")
    with seeded(torch_seed(seed, "model"), torch.device("cpu")):
        module = _new_module(settings.model_type, image_shape, num_classes)
    if settings.pretrained_models:
        from fedchunk.orchestrator.learning.models.vision import load_pretrained

        load_pretrained(module, settings.model_type, image_shape, num_classes, download)
    return module


def model_spec(settings: TrainingSettings, image_shape: ImageShape, num_classes: int) -> ModelSpec:
    """What :func:`build_model` would be made of, without allocating it; raises ConfigError as it does."""
    with torch.device("meta"):
        return spec_of(_new_module(settings.model_type, image_shape, num_classes))


def logistic(image_shape: ImageShape, num_classes: int) -> nn.Module:
    """Logistic regression: 7,850 values at 1 x 28 x 28 and 10 classes."""
    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(image_shape), num_classes))


def mlp(image_shape: ImageShape, num_classes: int) -> nn.Module:
    """Two hidden layers of 200: 55,210 values for 8 x 8 digits, 199,210 for 28 x 28 pixels."""
    channels, height, width = image_shape
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(channels * height * width, HIDDEN),
        nn.ReLU(),
        nn.Linear(HIDDEN, HIDDEN),
        nn.ReLU(),
        nn.Linear(HIDDEN, num_classes),
    )


def cnn(image_shape: ImageShape, num_classes: int) -> nn.Module:
    """Two convolutions and two dense layers: 1,626,442 values at 3 x 32 x 32 and 10 classes.

    Source: ``simple_cnn`` of apple/pfl-research's CIFAR10 benchmark (Granqvist et al. 2024), without its dropout.
    """
    channels, height, width = image_shape
    _check_size("cnn", image_shape, minimum=6)
    features = 64 * ((height - 4) // 2) * ((width - 4) // 2)
    return nn.Sequential(
        nn.Conv2d(channels, 32, kernel_size=3),
        nn.ReLU(),
        nn.Conv2d(32, 64, kernel_size=3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(features, 128),
        nn.ReLU(),
        nn.Linear(128, num_classes),
    )


def lenet(image_shape: ImageShape, num_classes: int) -> nn.Module:
    """LeNet-5 with ReLU and max pooling: 61,706 values at 1 x 28 x 28 or 1 x 32 x 32 and 10 classes.

    Source: LeCun et al., "Gradient-Based Learning Applied to Document Recognition" (1998), figure 2. It was made for 32
    pixels; smaller images are padded before a convolution, so that something is left to see after it.
    """
    channels, height, width = image_shape
    _check_size("lenet", image_shape, minimum=4)
    first = 0 if min(height, width) >= 32 else 2
    sides = [(side - 4 + 2 * first) // 2 for side in (height, width)]
    second = 0 if min(sides) >= 14 else 2
    rows, columns = [(side - 4 + 2 * second) // 2 for side in sides]
    return nn.Sequential(
        nn.Conv2d(channels, 6, kernel_size=5, padding=first),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, kernel_size=5, padding=second),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(16 * rows * columns, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, num_classes),
    )


OWN_MODELS = {"mlp": mlp, "cnn": cnn, "lenet": lenet, "logistic": logistic}


def _new_module(model_type: str, image_shape: ImageShape, num_classes: int) -> nn.Module:
    if model_type in OWN_MODELS:
        return OWN_MODELS[model_type](image_shape, num_classes)
    from fedchunk.orchestrator.learning.models.vision import vision_model

    return vision_model(model_type, image_shape, num_classes)


def _check_size(model_type: str, image_shape: ImageShape, minimum: int) -> None:
    if min(image_shape[1:]) < minimum:
        raise _fault(
            "transform_input_size",
            f"{model_type!r} needs images of {minimum} x {minimum} pixels or more, got {image_shape[1]} x "
            f"{image_shape[2]}: set transform_input_size to {minimum} or more",
        )


def _fault(key: str, message: str) -> ConfigError:
    return ConfigError([Fault(where="", key=key, message=message)])
