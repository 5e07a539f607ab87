"""Where what clients are, or have sent, lies: in objects that calls about their groups returned."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.contract.messages import StatePlace
from fedchunk.orchestrator.contract.ports import Handle, Returned


@dataclass(frozen=True)
class Placed:
    """A row of what a call returned."""

    handle: Handle
    group: int
    row: int
    machine: str | None = None
    """The machine that has it, where there are several."""


def rows_of(answer: Returned, object_number: int, group: int, clients: Iterable[int]) -> dict[int, Placed]:
    """Where something of the clients of a call's group lies: in which of the objects that the call returned."""
    handle, machine = answer.handles[object_number], answer.where
    return {client: Placed(handle, group, row, machine) for row, client in enumerate(clients)}


def arguments(placed: Sequence[Placed | None]) -> tuple[tuple[StatePlace | None, ...], list[Handle]]:
    """What a call is told of where things lie, and the objects that go with it, each once."""
    objects: dict[int, Handle] = {id(one.handle): one.handle for one in placed if one is not None}
    number = {one: argument for argument, one in enumerate(objects)}
    places = (StatePlace(number[id(one.handle)], one.group, one.row) if one else None for one in placed)
    return tuple(places), [*objects.values()]


def saved(placed: Sequence[Placed | None]) -> tuple[NDArray[np.int32], list[Handle]]:
    """The same for a checkpoint: of each its object, group and row, (N, 3), or -1, 0, 0; and the objects."""
    places, objects = arguments(placed)
    rows = [(-1, 0, 0) if at is None else (at.argument, at.group, at.row) for at in places]
    return np.array(rows, np.int32), objects


def restored(places_N3: NDArray[np.int32], objects: Sequence[Handle]) -> list[Placed | None]:
    """What :func:`saved` gave."""
    return [None if at < 0 else Placed(objects[at], group, row) for at, group, row in places_N3.tolist()]


def nearest(placed: Iterable[Placed | None]) -> str | None:
    """The machine that has most of it; None where there is one machine, or nothing."""
    machines = Counter(one.machine for one in placed if one is not None)
    return machines.most_common(1)[0][0] if machines else None
