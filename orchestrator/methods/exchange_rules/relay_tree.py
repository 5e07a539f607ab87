"""Peers hand messages on along a tree to a root, which does what the coordinator of error_feedback does, and back."""

from __future__ import annotations

import numpy as np

from fedchunk.orchestrator.chunking.draft import Encoded
from fedchunk.orchestrator.chunking.encoding import encode
from fedchunk.orchestrator.methods.exchange_rules._feedback_model import FeedbackModel
from fedchunk.orchestrator.methods.exchange_rules._rule import ExchangeRule, GlobalModel
from fedchunk.orchestrator.methods.exchange_rules.error_feedback import ErrorFeedback

WHERE = ("peers",)
"""Read by the settings' rules without importing this file."""
KEEPS_REST = True
"""What is not sent, and what encoding loses, is sent later."""
RELAYS = "to_root"
"""How messages are handed on."""


def relay_tree(withheld_share: float, downlink_sensitivity_percentage: float | None) -> ExchangeRule:
    """The rule.

    Args:
        withheld_share: peers train from the shared model plus this share of what they withhold.
        downlink_sensitivity_percentage: share of the chunks that the root sends; None: all that changed.
    """
    return RelayTree(withheld_share, downlink_percentage=downlink_sensitivity_percentage)


class RelayTree(ErrorFeedback):
    """Messages are not merged on their way, so the bits are those of :class:`ErrorFeedback` in a star."""

    relays = "to_root"


def handed_over(model: GlobalModel, sender: int) -> Encoded:
    """What a new root is told by the one before it: what the peers could not be told yet, every bit of it.

    All else of the model is in the messages that the one before it had to send, which come along.
    """
    assert isinstance(model, FeedbackModel)
    held_C = model.layout.sums_C((model.withheld_P != 0).astype(np.float64)) > 0
    return encode(
        model.layout,
        model.withheld_P,
        held_C,
        round_index=model.round_index,
        sender=sender,
        num_samples=0,
        buffers=None,
        is_change=True,
    )
