"""Values as plain JSON and named arrays: what a checkpoint can hold, and nothing that would be run when it is read."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.chunking.told import Told
from fedchunk.orchestrator.contract.messages import ClientState, ClientStates, ModelState

Arrays = dict[str, NDArray[Any]]

_CLASSES: Mapping[str, type[Any]] = {kind.__name__: kind for kind in (ModelState, ClientState, ClientStates, Told)}


class NotStorable(TypeError):
    """A value that is neither plain, nor an array, nor one of our own messages."""


def pack(value: Any) -> tuple[Any, Arrays]:
    """A value as JSON in which arrays are named, and the arrays.

    Raises NotStorable.

    Example:
        >>> pack({"rounds": (1, 2), "weights": np.zeros(3)})[0]
        {'map': {'rounds': {'tuple': [1, 2]}, 'weights': {'array': '0'}}}
    """
    arrays: Arrays = {}
    return _packed(value, arrays), arrays


def _packed(value: Any, arrays: Arrays) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        name = str(len(arrays))
        arrays[name] = np.ascontiguousarray(value).reshape(value.shape)
        return {"array": name}
    if isinstance(value, tuple | list):
        return {"tuple": [_packed(part, arrays) for part in value]}
    if isinstance(value, Mapping):
        return {"map": {str(key): _packed(part, arrays) for key, part in value.items()}}
    if type(value).__name__ in _CLASSES and dataclasses.is_dataclass(value):
        fields = {field.name: _packed(getattr(value, field.name), arrays) for field in dataclasses.fields(value)}
        return {"class": type(value).__name__, "fields": fields}
    raise NotStorable(f"a {type(value).__name__} cannot be kept in a checkpoint")


def unpack(plain: Any, arrays: Mapping[str, NDArray[Any]]) -> Any:
    """What :func:`pack` was given; lists come back as tuples. Raises KeyError or TypeError for what it never wrote."""
    if not isinstance(plain, dict):
        return plain
    if "array" in plain:
        return arrays[plain["array"]]
    if "tuple" in plain:
        return tuple(unpack(part, arrays) for part in plain["tuple"])
    if "map" in plain:
        return {key: unpack(part, arrays) for key, part in plain["map"].items()}
    fields = {name: unpack(part, arrays) for name, part in plain["fields"].items()}
    return _CLASSES[plain["class"]](**fields)
