"""Peers hand every message on until all have it, add the same changes to one model, and send later what was not sent.

Error feedback without a star: there is no consensus step to tune, and the model is the same bits at every peer.
"""

from __future__ import annotations

import numpy as np

from fedchunk.orchestrator.chunking.aggregation import RoundSum
from fedchunk.orchestrator.contract.messages import ModelState
from fedchunk.orchestrator.methods.exchange_rules._rule import ExchangeRule
from fedchunk.orchestrator.methods.exchange_rules.error_feedback import ErrorFeedback

WHERE = ("peers",)
"""Read by the settings' rules without importing this file."""
KEEPS_REST = True
"""What is not sent, and what encoding loses, is sent later."""
RELAYS = "to_all"
"""How messages are handed on."""


def relay(withheld_share: float, relay_step: float) -> ExchangeRule:
    """The rule.

    Args:
        withheld_share: peers train from the shared model plus this share of what they withhold.
        relay_step: the shared model moves so many times the peers' mean change.
    """
    return Relay(withheld_share, relay_step)


class Relay(ErrorFeedback):
    """With the shared model g, peer i's residual e_i and its weight a_i, all peers in order of their numbers:

    ``p_i = e_i + train(g + share e_i) - (g + share e_i)``, ``e_i = p_i - C(p_i)`` and
    ``g += step * sum_i a_i C(p_i) / sum_i a_i``.

    The error feedback of Seide et al. 2014 and Karimireddy et al. 2019 (see :mod:`chunking.feedback`), with every
    compressed change fetched by every peer, as in SparseLoCo's training over the internet (arXiv 2603.08163).
    """

    relays = "to_all"

    def __init__(self, withheld_share: float, step: float) -> None:
        super().__init__(withheld_share)
        self._step = np.float32(step)

    def shared_after(self, shared: ModelState, total: RoundSum) -> ModelState:
        """A step along the mean change, divided by the weight of all that were heard; buffers are their mean."""
        change_P = total.chunks.over(total.weight)
        return ModelState(shared.weights_P + self._step * change_P, *total.buffers.mean())
