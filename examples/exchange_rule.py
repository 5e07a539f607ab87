"""An exchange rule, for the advanced: what is sent, what a receiver makes of it, what stays behind. Here for peers.

federated_learning_schema: DecentralizedFederatedLearning
federated_learning_topology: ring
chunk_reconstruction: ./exchange_rule.py:PartWay
reconstruction_options: {step: 0.7}
"""

import numpy as np

from fedchunk import ExchangeRule


class PartWay(ExchangeRule):
    """A peer goes a part of the way to its neighbours, in the chunks that they sent; the rest stays its own."""

    def __init__(self, step=0.5):
        self._step = step

    def mix(self, view):
        """The next weights, (P,), and the copies that are kept: none."""
        pull_P = np.zeros_like(view.own_P)
        for neighbour, trust in zip(view.neighbours, view.trust, strict=True):
            message = view.messages.get(neighbour)  # None: it could not be read, and is left out
            if message is not None:
                theirs_P = view.own_P.copy()
                view.layout.paste(message.values, message.mask_C, theirs_P)
                pull_P += np.float32(trust) * (theirs_P - view.own_P)
        return view.own_P + np.float32(self._step) * pull_P, ()
