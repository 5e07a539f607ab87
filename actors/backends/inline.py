"""What is small travels inside a call: into the object store and out of it again takes longer than a small call."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_VARIABLE = "RAY_max_direct_call_object_size"
_DEFAULT = 100 << 10
"""Ray's own."""
LARGER = 1 << 20
"""Bytes of a value that travels inside a call, where that is asked for."""


@contextmanager
def larger_values_inside_calls() -> Iterator[None]:
    """A Ray that is started in here hands values of up to :data:`LARGER` over inside calls, unless it is told else.

    Its processes inherit that from the environment, which is afterwards what it was.
    """
    if _VARIABLE in os.environ:
        yield
        return
    os.environ[_VARIABLE] = str(LARGER)
    try:
        yield
    finally:
        del os.environ[_VARIABLE]


def fits_inside_calls(value: Any) -> bool:
    """Whether Ray hands a value over inside a call, in this process."""
    arrays: list[pickle.PickleBuffer] = []
    size = len(pickle.dumps(value, protocol=5, buffer_callback=arrays.append))
    return size + sum(array.raw().nbytes for array in arrays) < int(os.environ.get(_VARIABLE, _DEFAULT))
