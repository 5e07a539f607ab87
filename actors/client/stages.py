"""The place of what a client does: the stage that an error came from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fedchunk.orchestrator.contract.peer_messages import TrainOrder
from fedchunk.orchestrator.core.errors import ClientFailed, reason_of


@contextmanager
def stage(round_index: int, client_id: int, name: str) -> Iterator[None]:
    """Says in which client, round and stage something failed; the cause stays attached."""
    try:
        yield
    except ClientFailed:
        raise
    except Exception as error:  # whatever it is, it is this client's alone
        raise ClientFailed(client_id, round_index, name, reason_of(error)) from error


@contextmanager
def noting(failed: dict[int, ClientFailed], order: TrainOrder, name: str) -> Iterator[None]:
    """As :func:`stage`, but keeps what failed, so that the others of a group go on."""
    try:
        with stage(order.round_index, order.client_id, name):
            yield
    except ClientFailed as error:
        failed[order.client_id] = error
