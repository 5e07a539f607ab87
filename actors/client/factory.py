"""Which class of client an experiment has. Imports torch only when it is asked for the class."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fedchunk.actors.client.experiment_data import ExperimentData
from fedchunk.orchestrator.settings.whole import Settings

ActorFactory = Callable[[Settings, str, ExperimentData], Any]
"""Makes one client actor, for a device."""


def client_class(settings: Settings) -> Any:
    """The class of the clients: of a star (also of one whose coordinator is a peer), or of peers. Imports torch."""
    from fedchunk.orchestrator.methods.method import (
        rule_of,  # the driver needs this module before all that comes with it
    )

    relays = rule_of(settings).relays
    if relays == "to_all":
        from fedchunk.actors.client.relay import RelayClient

        return RelayClient
    if settings.federation.peer_to_peer and relays is None:
        from fedchunk.actors.client.peer import PeerClient

        return PeerClient
    from fedchunk.actors.client.star import StarClient

    return StarClient


def make_client(settings: Settings, device: str, data: ExperimentData) -> Any:
    """The real client."""
    return client_class(settings)(settings, device, data)
