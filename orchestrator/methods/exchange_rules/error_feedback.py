"""Changes are sent, added to a model that all share, and what is not sent or lost by encoding is kept and sent later.

On both sides: a client keeps everything that it did not send, and the coordinator does the same towards the clients.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.chunking import scoring, selection, sensitivity
from fedchunk.orchestrator.chunking.aggregation import RoundSum
from fedchunk.orchestrator.chunking.encoding import Encoded, encode
from fedchunk.orchestrator.chunking.feedback import withheld_after
from fedchunk.orchestrator.chunking.layout import Layout
from fedchunk.orchestrator.contract.messages import COORDINATOR, ClientState, ModelState
from fedchunk.orchestrator.methods.exchange_rules._rule import OF_SETTINGS, ExchangeRule, GlobalModel, ServerSide
from fedchunk.orchestrator.methods.server_step import OptimizerState

WHERE = ("star",)
"""Read by the settings' rules without importing this file."""
KEEPS_REST = True
"""What is not sent, and what encoding loses, is sent later."""


def error_feedback(withheld_share: float, downlink_sensitivity_percentage: float | None) -> ExchangeRule:
    """The rule.

    Args:
        withheld_share: clients train from the shared model plus this share of what they withhold.
        downlink_sensitivity_percentage: share of the chunks that the coordinator sends; None: all that changed.
    """
    return ErrorFeedback(withheld_share, downlink_sensitivity_percentage)


class ErrorFeedback(ExchangeRule):
    """See :mod:`chunking.feedback` for the mathematics and its sources."""

    sends_changes = True
    keeps_residual = True

    def __init__(self, withheld_share: float, downlink_percentage: float | None) -> None:
        self._withheld_share = withheld_share
        self._downlink_percentage = downlink_percentage

    def start(self, shared_P: NDArray[np.float32], withheld_P: NDArray[np.float32] | None) -> NDArray[np.float32]:
        """The shared model, plus ``withheld_share`` of what the client keeps back.

        From the shared model alone a client finds the same change again in every round in which a chunk waits, and the
        chunk overshoots when it goes at last; from its own model it would never see the others' errors in that chunk.
        (A step ahead by a part of the residual, as in SA-PEF, arXiv 2601.20738.)
        """
        if self._withheld_share == 0 or withheld_P is None:
            return shared_P
        return shared_P + np.float32(self._withheld_share) * withheld_P

    def sent_vector(self, pending: ClientState) -> NDArray[np.float32]:
        """Everything withheld, this round's change included."""
        assert pending.withheld_P is not None
        return pending.withheld_P

    def after_sending(
        self, withheld_P: NDArray[np.float32], selected_C: NDArray[np.bool_], encoded: Encoded, layout: Layout
    ) -> tuple[NDArray[np.float32], float | None]:
        """What the receiver did not see."""
        kept_P = withheld_after(withheld_P, selected_C, encoded.seen, layout)
        return kept_P, norm(kept_P)

    def global_model(self, server: ServerSide, state: ModelState) -> GlobalModel:
        """The coordinator's model before the first round."""
        return FeedbackModel.initial(server, self._downlink_percentage, state)


def norm(vector_P: NDArray[np.float32]) -> float:
    """L2 norm, added in float64."""
    return float(np.sqrt(np.square(vector_P, dtype=np.float64).sum()))


@dataclass(frozen=True)
class FeedbackModel:
    """A model that adds up changes, with error feedback towards the clients too.

    All clients know ``shared``: both ends add the same decoded values in the same order, so it is the same bits
    everywhere. What the coordinator knows beyond that is ``withheld_P``.
    """

    server: ServerSide
    downlink_percentage: float | None = field(metadata=OF_SETTINGS)
    """Share of the chunks that go down in a round; None: all that changed."""
    shared: ModelState
    withheld_P: NDArray[np.float32]
    """What could not be told yet: chunks left out, and what encoding lost."""
    pending_P: NDArray[np.float32]
    """What there was to tell after the last round, before it was encoded."""
    changed_C: NDArray[np.int32]
    round_index: int
    optimizer: OptimizerState = field(default_factory=dict)

    @classmethod
    def initial(cls, server: ServerSide, downlink_percentage: float | None, state: ModelState) -> FeedbackModel:
        """The model that everybody starts from."""
        nothing_P = np.zeros(server.layout.num_parameters, np.float32)
        changed_C = np.zeros(server.layout.num_chunks, np.int32)
        return cls(server, downlink_percentage, state, nothing_P, nothing_P, changed_C, 0)

    @property
    def layout(self) -> Layout:
        """The cut."""
        return self.server.layout

    @property
    def state(self) -> ModelState:
        """The coordinator's own model: what is shared, and what it has not told yet."""
        return replace(self.shared, weights_P=self.shared.weights_P + self.withheld_P)

    def change_of(self, total: RoundSum) -> NDArray[np.float32]:
        """How far a round's changes move the model, (P,)."""
        return total.chunks.over(total.weight)

    def after(self, round_index: int, total: RoundSum) -> FeedbackModel:
        """This model after a round's changes, divided by the whole cohort's weight."""
        change_P, sent_C = total.chunks.over(total.weight), total.chunks.sent_C
        step_P, optimizer = self.server.step.of(change_P, sent_C, self.optimizer, round_index, self.layout)
        pending_P = self.withheld_P + step_P
        told_C = self._to_tell(pending_P, self._moved(step_P, sent_C))
        seen = self._encoded(pending_P, told_C, round_index, None).seen
        shared_P = self.shared.weights_P.copy()
        self.layout.add(seen, told_C, shared_P)
        return replace(
            self,
            shared=ModelState(shared_P, *total.buffers.mean()),
            withheld_P=withheld_after(pending_P, told_C, seen, self.layout),
            pending_P=pending_P,
            changed_C=np.where(told_C, np.int32(round_index), self.changed_C),
            round_index=round_index,
            optimizer=optimizer,
        )

    def _moved(self, step_P: NDArray[np.float32], sent_C: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """The chunks that a round moves: an optimizer may move what nobody sent."""
        if self.server.step.is_plain:
            return sent_C
        moved_C: NDArray[np.bool_] = sent_C | (self.layout.sums_C((step_P != 0).astype(np.float64)) > 0)
        return moved_C

    def message_key(self, known_round: int) -> bytes:
        """What :meth:`message_since` depends on: clients for whom this is equal are sent the same message."""
        missed_one = 0 <= known_round == self.round_index - 1
        return bytes([missed_one, self.round_index > known_round]) + (self.changed_C > known_round).tobytes()

    def message_since(
        self, known_round: int, *, choice_C: NDArray[np.bool_] | None = None, with_mask: bool = True
    ) -> Encoded:
        """What a client that knows the shared model of ``known_round`` must be sent.

        One that has missed nothing but the last round gets its changes, as they were encoded; one that missed more
        gets the chunks that changed meanwhile as full float32 values, so that it shares every bit again.
        """
        # What is told is not what was agreed on when the downlink chooses for itself.
        with_mask = with_mask or self.downlink_percentage is not None
        if 0 <= known_round == self.round_index - 1:
            changed_C = self.changed_C == self.round_index
            return self._encoded(
                self.pending_P,
                changed_C,
                self.round_index,
                _buffers(self.shared),
                choice_C=choice_C,
                with_mask=with_mask,
            )
        return encode(
            self.layout,
            self.shared.weights_P,
            self.changed_C > known_round,
            round_index=self.round_index,
            sender=COORDINATOR,
            num_samples=0,
            buffers=_buffers(self.shared) if self.round_index > known_round else None,
            choice_C=choice_C,
            with_mask=with_mask,
        )

    def _to_tell(self, pending_P: NDArray[np.float32], sent_C: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """All that changed, or the best of all that is pending when the downlink has a percentage of its own."""
        if self.downlink_percentage is None:
            return sent_C
        count = sensitivity.fixed(self.layout.num_chunks, self.downlink_percentage)
        return selection.best(scoring.norms(pending_P, self.layout), count)

    def _encoded(
        self,
        pending_P: NDArray[np.float32],
        told_C: NDArray[np.bool_],
        round_index: int,
        buffers: tuple[NDArray[np.float32], NDArray[np.int64]] | None,
        *,
        choice_C: NDArray[np.bool_] | None = None,
        with_mask: bool = True,
    ) -> Encoded:
        return encode(
            self.layout,
            pending_P,
            told_C,
            round_index=round_index,
            sender=COORDINATOR,
            num_samples=0,
            buffers=buffers,
            packing=self.server.packing,
            is_change=True,
            choice_C=choice_C,
            with_mask=with_mask,
        )


def _buffers(state: ModelState) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    return state.buffers_B, state.counters_I
