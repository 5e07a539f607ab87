"""The place of what a client does: the stage that an error came from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fedchunk.orchestrator.contract.peer_messages import TrainOrder
from fedchunk.orchestrator.core.errors import ClientFailed, reason_of


class Stage:
    """Says in which client, round and stage something failed; the cause stays attached.

    A class, because a generator takes three times as long, for every client and stage.
    """

    def __init__(self, round_index: int, client_id: int, name: str) -> None:
        self._where = client_id, round_index, name

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, ClientFailed):
            raise ClientFailed(*self._where, reason_of(error)) from error  # whatever it is, it is this client's alone


@contextmanager
def noting(failed: dict[int, ClientFailed], order: TrainOrder, name: str) -> Iterator[None]:
    """As :class:`Stage`, but keeps what failed, so that the others of a group go on."""
    try:
        with Stage(order.round_index, order.client_id, name):
            yield
    except ClientFailed as error:
        failed[order.client_id] = error
