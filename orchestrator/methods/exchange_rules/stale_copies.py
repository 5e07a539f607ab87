"""Peers send changes and train from what is known of them; a step of stale_copy_step towards what is of neighbours."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.chunking.draft import Draft
from fedchunk.orchestrator.chunking.encoding import Message
from fedchunk.orchestrator.chunking.feedback import residual_norm, withheld_of
from fedchunk.orchestrator.chunking.layout import Layout
from fedchunk.orchestrator.chunking.mixing import SentChange, mix_stale_copies
from fedchunk.orchestrator.contract.messages import ClientState
from fedchunk.orchestrator.methods.exchange_rules._rule import ExchangeRule, PeerView
from fedchunk.orchestrator.methods.exchange_rules.error_feedback import ahead

WHERE = ("peers",)
"""Read by the settings' rules without importing this file."""
KEEPS_REST = True
"""What is not sent, and what encoding loses, is sent later."""


def stale_copies(stale_copy_step: float, withheld_share: float) -> ExchangeRule:
    """The rule.

    Args:
        stale_copy_step: gamma, above 0 and at most 1.
        withheld_share: peers train from what is known of them plus this share of what is not.
    """
    return StaleCopies(stale_copy_step, withheld_share)


class StaleCopies(ExchangeRule):
    """CHOCO-SGD with the letters of :func:`chunking.mixing.mix_stale_copies`: a peer keeps z, e and s.

    CHOCO-SGD trains from x = z + e and measures it, as ``withheld_share: 1`` does. z is the better model: e is what a
    peer found alone, from its own data.
    """

    sends_changes = True
    keeps_copies = True

    def __init__(self, step: float, withheld_share: float = 0.0) -> None:
        self._step = step
        self._withheld_share = withheld_share

    def start(self, shared_P: NDArray[np.float32], withheld_P: NDArray[np.float32] | None) -> NDArray[np.float32]:
        """z, and a share of e."""
        return ahead(shared_P, withheld_P, self._withheld_share)

    def unheard(
        self, withheld_P: NDArray[np.float32] | None, copies: tuple[NDArray[np.float32], ...]
    ) -> NDArray[np.float32] | None:
        """x - c: the step towards the neighbours was taken by the peer itself, and they have yet to hear of it."""
        (sum_P,) = copies
        pull_P = np.float32(self._step) * sum_P
        return pull_P if withheld_P is None else withheld_P + pull_P

    def sent_vector(self, pending: ClientState) -> NDArray[np.float32]:
        """x - c, with this round's training."""
        assert pending.withheld_P is not None
        return pending.withheld_P

    def after_sending(
        self,
        withheld_P: NDArray[np.float32],
        selected_C: NDArray[np.bool_],
        sent: Draft,
        layout: Layout,
        squares_C: NDArray[np.float64] | None = None,
    ) -> tuple[NDArray[np.float32], float | None]:
        """e: what the neighbours have still not heard."""
        kept_P = withheld_of(withheld_P, selected_C, sent.lost, layout)
        return kept_P, residual_norm(kept_P, selected_C, sent.lost, squares_C)

    def first_copies(self, start_P: NDArray[np.float32], num_neighbours: int) -> tuple[NDArray[np.float32], ...]:
        """s: everybody begins with the same model, so nothing pulls."""
        return (np.zeros_like(start_P),)

    def mix(self, view: PeerView) -> tuple[NDArray[np.float32], tuple[NDArray[np.float32], ...]]:
        """z and s after this round's messages. Of one that nobody could read nothing has happened anywhere."""
        own, *heard = (_sent(view.messages.get(client)) for client in (view.client_id, *view.neighbours))
        public_P, sum_P = mix_stale_copies(view.own_P, view.copies[0], own, heard, view.trust, self._step, view.layout)
        return public_P, (sum_P,)


def _sent(message: Message | None) -> SentChange | None:
    return None if message is None else SentChange(message.mask_C, message.values)
