"""What is small travels inside a call: into the object store and out of it again takes longer than a small call.

How small is one limit for all that a process hands over. What one call brings back for the coordinator alone is better
off inside the call up to :data:`LARGER`. What goes along with all calls of a round is copied for each, so it ends at
:data:`SHARED`, and so do clients' states; those of which dozens of later calls need a row or two each are kept in the
store from Ray's own limit on.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fedchunk.orchestrator.settings.whole import Settings

_VARIABLE = "RAY_max_direct_call_object_size"
_DEFAULT = 100 << 10
"""Ray's own."""
LARGER = 2 << 20
"""Bytes of a value that travels inside a call, where that is asked for."""
SHARED = 1 << 20
"""The same of one that goes along with all calls of a round, or that a later call needs."""


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
    """Whether a value for all calls of a round goes along with them, in this process."""
    return _size(value) < min(_limit(), SHARED)


FEW_CLIENTS = 32
"""Clients of a round whose states may all be carried by calls, wherever they lie."""


def most_of_states(settings: Settings) -> int:
    """Bytes of a call's states that travel inside calls.

    A call names about as many objects with states as it has clients, where these last took part in different rounds,
    and needs a row of each: those of many clients are left in the store.
    """
    federation = settings.federation
    cohort = federation.client_sampling_rate * federation.number_of_clients
    scattered = federation.client_sampling_rate < 1 and cohort > FEW_CLIENTS
    return _DEFAULT if scattered else SHARED


class _Filled:
    """A value and as much beside it as makes it too large for a call; what arrives is the value alone."""

    def __init__(self, value: Any, filler: bytearray) -> None:
        self._value, self._filler = value, filler

    def __reduce__(self) -> tuple[Callable[[Any, object], Any], tuple[Any, pickle.PickleBuffer]]:
        return _value_of, (self._value, pickle.PickleBuffer(self._filler))


def outside_calls(value: Any, most: int) -> Any:
    """The same value; of ``most`` bytes or more Ray puts it into the object store, though its limit is larger."""
    limit = _limit()
    if limit <= most:
        return value
    size = _size(value)
    return _Filled(value, bytearray(limit - size)) if most <= size < limit else value


def _value_of(value: Any, filler: object) -> Any:
    return value


def _size(value: Any) -> int:
    """Bytes of a value as it is handed over."""
    arrays: list[pickle.PickleBuffer] = []
    size = len(pickle.dumps(value, protocol=5, buffer_callback=arrays.append))
    return size + sum(array.raw().nbytes for array in arrays)


def _limit() -> int:
    return int(os.environ.get(_VARIABLE, _DEFAULT))
