"""Peers send changes and keep the last that they heard of each neighbour; a step of stale_copy_step towards those."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.chunking.encoding import Encoded
from fedchunk.orchestrator.chunking.feedback import withheld_after
from fedchunk.orchestrator.chunking.layout import Layout
from fedchunk.orchestrator.chunking.mixing import mix_stale_copies, update_copy
from fedchunk.orchestrator.contract.messages import ClientState
from fedchunk.orchestrator.methods.exchange_rules._rule import ExchangeRule, PeerView
from fedchunk.orchestrator.methods.exchange_rules.error_feedback import norm

WHERE = ("peers",)
"""Read by the settings' rules without importing this file."""
KEEPS_REST = True
"""What is not sent, and what encoding loses, is sent later."""


def stale_copies(stale_copy_step: float) -> ExchangeRule:
    """The rule with its step, above 0 and at most 1."""
    return StaleCopies(stale_copy_step)


class StaleCopies(ExchangeRule):
    """CHOCO-SGD, see :func:`chunking.mixing.mix_stale_copies`."""

    sends_changes = True
    keeps_copies = True

    def __init__(self, step: float) -> None:
        self._step = step

    def sent_vector(self, pending: ClientState) -> NDArray[np.float32]:
        """What the peer's copy lacks of its weights."""
        assert pending.withheld_P is not None
        return pending.withheld_P

    def after_sending(
        self, withheld_P: NDArray[np.float32], selected_C: NDArray[np.bool_], encoded: Encoded, layout: Layout
    ) -> tuple[NDArray[np.float32], float | None]:
        """What the copy still lacks."""
        kept_P = withheld_after(withheld_P, selected_C, encoded.seen, layout)
        return kept_P, norm(kept_P)

    def first_copies(self, start_P: NDArray[np.float32], num_neighbours: int) -> tuple[NDArray[np.float32], ...]:
        """Everybody begins with the same model, so all copies are that."""
        return (start_P,) * (1 + num_neighbours)

    def mix(self, view: PeerView) -> tuple[NDArray[np.float32], tuple[NDArray[np.float32], ...]]:
        """Brings the copies up to date, the peer's own first, and takes a step towards the neighbours'."""
        clients = [view.client_id, *view.neighbours]
        copies = tuple(
            update_copy(copy_P, view.messages[client].mask_C, view.messages[client].values, view.layout)
            if client in view.messages
            else copy_P
            for client, copy_P in zip(clients, view.copies, strict=True)
        )
        return mix_stale_copies(view.own_P, copies[0], copies[1:], view.trust, self._step), copies
