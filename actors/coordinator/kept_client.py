"""What a checkpoint has of one client: the model that it shares, and what of it stays with the client alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fedchunk.orchestrator.contract.messages import ClientState, ModelState
from fedchunk.orchestrator.contract.ports import Snapshot


@dataclass(frozen=True)
class KeptClient:
    """A client between two rounds."""

    shared: ModelState
    """In a star, and where peers share one model, that one; else the peer's own after mixing."""
    home: ModelState
    """As it last trained it."""


def kept_client(snapshot: Snapshot, client: int) -> KeptClient | None:
    """A client as the coordinators' ``saved`` has it; None before it ever trained, or where nothing stays with it.

    Reads the client's own state, and that of the clients which were trained with it, and no other.
    """
    saved = snapshot.coordinator
    shared: ModelState | None
    if "clients" in saved:  # a star, and relay_tree, which is one
        state, shared = _of_group(snapshot, saved["clients"]["places_N3"][client].tolist()), saved["weights"]
    elif "models_M" in saved:  # relay: models come before states
        models = saved["models_M"].tolist()
        state = _of_group(snapshot, saved["places_N3"][client].tolist(), len(models))
        shared = _loaded(snapshot, models.index(saved["round"])) if state is not None else None
    else:
        at = int(saved["places_N"][client])
        state = _loaded(snapshot, at) if at >= 0 else None
        shared = None if state is None else state.model
    if state is None or state.home is None or shared is None:
        return None
    return KeptClient(shared, state.home)


def _of_group(snapshot: Snapshot, place: list[int], first: int = 0) -> ClientState | None:
    """The client at a place; the objects with states begin with number ``first``."""
    at, group, row = place
    if at < 0:
        return None
    state: ClientState = _loaded(snapshot, first + at)[group].row(row)
    return state


def _loaded(snapshot: Snapshot, number: int) -> Any:
    return snapshot.objects[number].load()
