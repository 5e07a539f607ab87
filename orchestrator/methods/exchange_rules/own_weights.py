"""Whoever did not send a chunk counts with the receiver's own weights: FedPilot's sentence taken literally."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.chunking.mixing import mix_own_weights
from fedchunk.orchestrator.methods.exchange_rules._rule import ExchangeRule, PeerView
from fedchunk.orchestrator.methods.exchange_rules.contributors import Contributors, contributions_of, receiver_of


def own_weights() -> ExchangeRule:
    """The rule."""
    return OwnWeights()


class OwnWeights(Contributors):
    """As contributors, but a receiver mixes a chunk's mean with its own weights by the share of those who sent it."""

    sends_shares = True
    replaces_sent = False

    def mix(self, view: PeerView) -> tuple[NDArray[np.float32], tuple[NDArray[np.float32], ...]]:
        """All neighbours count, also with what they did not send."""
        return mix_own_weights(receiver_of(view), contributions_of(view), view.layout), ()
