"""Changes are sent, added to a model that all share, and what is not sent or lost by encoding is kept and sent later.

On both sides: a client keeps everything that it did not send, and the coordinator does the same towards the clients.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.chunking.draft import Draft
from fedchunk.orchestrator.chunking.feedback import residual_norm, withheld_of
from fedchunk.orchestrator.chunking.layout import Layout
from fedchunk.orchestrator.contract.messages import ClientState, ModelState
from fedchunk.orchestrator.methods.exchange_rules._feedback_model import FeedbackModel
from fedchunk.orchestrator.methods.exchange_rules._rule import ExchangeRule, GlobalModel, ServerSide

WHERE = ("star",)
"""Read by the settings' rules without importing this file."""
KEEPS_REST = True
"""What is not sent, and what encoding loses, is sent later."""


def error_feedback(
    withheld_share: float, withheld_fading: float, downlink_sensitivity_percentage: float | None, catch_up: str
) -> ExchangeRule:
    """The rule.

    Args:
        withheld_share: clients train from the shared model plus this share of what they withhold.
        withheld_fading: what is left of that after each round in which a client did not take part.
        downlink_sensitivity_percentage: share of the chunks that the coordinator sends; None: all that changed.
        catch_up: ``exact``, or ``approximate`` where clients that missed rounds may get a model of other bits.
    """
    approximate = catch_up == "approximate"
    return ErrorFeedback(withheld_share, withheld_fading, downlink_sensitivity_percentage, approximate=approximate)


class ErrorFeedback(ExchangeRule):
    """See :mod:`chunking.feedback` for the mathematics and its sources."""

    sends_changes = True
    keeps_residual = True

    def __init__(
        self,
        withheld_share: float,
        withheld_fading: float = 1.0,
        downlink_percentage: float | None = None,
        *,
        approximate: bool = False,
    ) -> None:
        self._withheld_share = withheld_share
        self._fading = withheld_fading
        self._downlink_percentage = downlink_percentage
        self._approximate = approximate

    def faded(self, withheld_P: NDArray[np.float32], missed: int) -> NDArray[np.float32]:
        """``withheld_fading`` to the power of the missed rounds."""
        if self._fading == 1 or missed == 0:
            return withheld_P
        return withheld_P * np.float32(self._fading**missed)

    def start(self, shared_P: NDArray[np.float32], withheld_P: NDArray[np.float32] | None) -> NDArray[np.float32]:
        """The shared model, plus ``withheld_share`` of what the client keeps back.

        From the shared model alone a client finds the same change again in every round in which a chunk waits, and the
        chunk overshoots when it goes at last; from its own model it would never see the others' errors in that chunk.
        (A step ahead by a part of the residual, as in SA-PEF, arXiv 2601.20738.)
        """
        return ahead(shared_P, withheld_P, self._withheld_share)

    def sent_vector(self, pending: ClientState) -> NDArray[np.float32]:
        """Everything withheld, this round's change included."""
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
        """What the receiver did not see, in the place of what was pending unless that is the message itself."""
        kept_P = withheld_of(withheld_P, selected_C, sent.lost, layout, in_place=not sent.is_view)
        return kept_P, residual_norm(kept_P, selected_C, sent.lost, squares_C)

    def global_model(self, server: ServerSide, state: ModelState) -> GlobalModel:
        """The coordinator's model before the first round."""
        first_P = state.weights_P if self._approximate else None
        return FeedbackModel.initial(server, self._downlink_percentage, state, first_P)


def ahead(shared_P: NDArray[np.float32], withheld_P: NDArray[np.float32] | None, share: float) -> NDArray[np.float32]:
    """What others know of a model, plus a share of what they do not."""
    if share == 0 or withheld_P is None:
        return shared_P
    ahead_P = np.float32(share) * withheld_P
    ahead_P += shared_P
    return ahead_P
