"""Which class of client an experiment has. Imports torch only when it is asked for the class."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fedchunk.actors.client.experiment_data import ExperimentData
from fedchunk.orchestrator.settings.whole import Settings

ActorFactory = Callable[[Settings, str, ExperimentData], Any]
"""Makes one client actor, for a device."""


def client_class(settings: Settings) -> Any:
    """The class of the clients: of a star, or of peers. Torch is imported here."""
    if settings.federation.peer_to_peer:
        from fedchunk.actors.client.peer import PeerClient

        return PeerClient
    from fedchunk.actors.client.star import StarClient

    return StarClient


def make_client(settings: Settings, device: str, data: ExperimentData) -> Any:
    """The real client."""
    return client_class(settings)(settings, device, data)
