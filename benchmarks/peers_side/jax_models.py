"""The models for fedjax, in the layouts that XLA likes best on a CPU: images NHWC, kernels HWIO, dense (in, out)."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from numpy.typing import NDArray

Params = list[dict[str, Any]]
"""A weight and a bias of each layer."""


def shapes_of(facts: dict[str, Any]) -> list[tuple[int, ...]]:
    """Shapes of the layers' weights as torch has them: (out, in) and (out, in, rows, columns)."""
    channels, height, width = facts["image_shape"]
    inputs, classes = channels * height * width, facts["num_classes"]
    features = 64 * ((height - 4) // 2) * ((width - 4) // 2)
    return {
        "logistic": [(classes, inputs)],
        "mlp": [(200, inputs), (200, 200), (classes, 200)],
        "cnn": [(32, channels, 3, 3), (64, 32, 3, 3), (128, features), (classes, 128)],
    }[facts["model_type"]]


def to_params(facts: dict[str, Any], weights_P: NDArray[np.float32]) -> Params:
    """The exported vector as layers."""
    params, start = [], 0
    for number, shape in enumerate(shapes_of(facts)):
        size = int(np.prod(shape))
        weight = _from_torch(facts, number, weights_P[start : start + size].reshape(shape))
        bias = weights_P[start + size : start + size + shape[0]]
        params.append({"w": jnp.array(weight), "b": jnp.array(bias)})
        start += size + shape[0]
    if start != len(weights_P):
        raise ValueError(f"the model has {start:,} values, the exported weights {len(weights_P):,}")
    return params


def to_vector(facts: dict[str, Any], params: Params) -> NDArray[np.float32]:
    """Layers as a vector in the exported order."""
    parts = []
    for number, layer in enumerate(params):
        parts += [_to_torch(facts, number, np.asarray(layer["w"])).ravel(), np.asarray(layer["b"])]
    return np.concatenate(parts)


def logits(facts: dict[str, Any], params: Params, x_B: jax.Array) -> jax.Array:
    """What the model says of a batch of images (B, c, h, w)."""
    if facts["model_type"] == "cnn":
        x_B = jnp.transpose(x_B, (0, 2, 3, 1))
        for layer in params[:2]:
            dimensions = ("NHWC", "HWIO", "NHWC")
            x_B = lax.conv_general_dilated(x_B, layer["w"], (1, 1), "VALID", dimension_numbers=dimensions)
            x_B = jax.nn.relu(x_B + layer["b"])
        x_B = lax.reduce_window(x_B, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
        params = params[2:]
    x_B = x_B.reshape(len(x_B), -1)
    for layer in params[:-1]:
        x_B = jax.nn.relu(x_B @ layer["w"] + layer["b"])
    return x_B @ params[-1]["w"] + params[-1]["b"]


def _from_torch(facts: dict[str, Any], number: int, weight: NDArray[np.float32]) -> NDArray[np.float32]:
    if weight.ndim == 4:
        return weight.transpose(2, 3, 1, 0)
    if _follows_images(facts, number):
        return weight.reshape(len(weight), *_image(facts)).transpose(2, 3, 1, 0).reshape(-1, len(weight))
    return weight.T


def _to_torch(facts: dict[str, Any], number: int, weight: NDArray[np.float32]) -> NDArray[np.float32]:
    if weight.ndim == 4:
        return weight.transpose(3, 2, 0, 1)
    if _follows_images(facts, number):
        channels, rows, columns = _image(facts)
        return weight.reshape(rows, columns, channels, -1).transpose(3, 2, 0, 1).reshape(weight.shape[1], -1)
    return weight.T


def _follows_images(facts: dict[str, Any], number: int) -> bool:
    """Whether this is the dense layer that reads flattened channels, whose order differs between the layouts."""
    return facts["model_type"] == "cnn" and number == 2


def _image(facts: dict[str, Any]) -> tuple[int, int, int]:
    _, height, width = facts["image_shape"]
    return 64, (height - 4) // 2, (width - 4) // 2
