"""The coordinator's own model: what it takes from a round, and what a client has still to be told of it.

Two kinds, by the receiver's rule. :class:`MeanModel` takes a chunk's mean where somebody sent it; clients are told
values. :class:`FeedbackModel` adds up changes; clients are told changes, and what the encoding of those lost stays
with the coordinator until the next round. Both know when each chunk last changed, so that a client that was away is
sent what it has missed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from fedchunk.orchestrator.chunking import scoring, selection, sensitivity
from fedchunk.orchestrator.chunking.aggregation import RoundSum
from fedchunk.orchestrator.chunking.encoding import PLAIN, Encoded, Packing, encode
from fedchunk.orchestrator.chunking.feedback import withheld_after
from fedchunk.orchestrator.chunking.layout import Layout
from fedchunk.orchestrator.contract.messages import COORDINATOR, ModelState
from fedchunk.orchestrator.settings.sections import ChunkingSettings
from numpy.typing import NDArray

NEVER = -1
"""``known_round`` of a client that has not been told anything yet."""


@dataclass(frozen=True)
class Rules:
    """How the model moves and travels."""

    packing: Packing
    with_shares: bool
    step: float
    """``server_learning_rate``."""
    downlink_percentage: float | None
    """Share of the chunks that go down in a round, with error feedback; None: all that changed."""


def rules_of(settings: ChunkingSettings, server_learning_rate: float) -> Rules:
    """The rules that the settings ask for."""
    packing = Packing(settings.chunk_encoding, settings.chunk_compression) if settings.chunking else PLAIN
    with_shares = settings.chunking and settings.chunk_reconstruction == "own_weights"
    return Rules(packing, with_shares, server_learning_rate, settings.downlink_sensitivity_percentage)


@dataclass(frozen=True)
class MeanModel:
    """A model that takes the mean of those who sent a chunk. Round 0 is the initial model."""

    layout: Layout
    rules: Rules
    state: ModelState
    changed_C: NDArray[np.int32]
    """The round in which each chunk last changed."""
    shares_C: NDArray[np.float32]
    """Share of the cohort's weight that each chunk's contributors had when it last changed."""
    round_index: int
    """The last round that is in it."""

    @classmethod
    def initial(cls, layout: Layout, rules: Rules, state: ModelState) -> MeanModel:
        """The model that everybody starts from."""
        zeros_C = np.zeros(layout.num_chunks, np.int32)
        return cls(layout, rules, state, zeros_C, np.ones(layout.num_chunks, np.float32), 0)

    def change_of(self, total: RoundSum) -> NDArray[np.float32]:
        """How far a round's updates move the model, (P,)."""
        weights_P = self.state.weights_P.copy()
        total.chunks.write_means(weights_P)
        return weights_P - self.state.weights_P

    def after(self, round_index: int, total: RoundSum) -> MeanModel:
        """This model after a round's updates."""
        weights_P = self.state.weights_P.copy()
        sent_C = total.chunks.write_means(weights_P)
        if self.rules.step != 1:
            weights_P = self.state.weights_P + np.float32(self.rules.step) * (weights_P - self.state.weights_P)
        shares_C = (total.chunks.weights_C / total.weight).astype(np.float32)
        return replace(
            self,
            state=ModelState(weights_P, *total.buffers.mean()),
            changed_C=np.where(sent_C, np.int32(round_index), self.changed_C),
            shares_C=np.where(sent_C, shares_C, self.shares_C),
            round_index=round_index,
        )

    def tells(self, known_round: int) -> bytes:
        """What :meth:`message_since` depends on: clients for whom this is equal are sent the same message."""
        plain = self.rules.packing == PLAIN and not self.rules.with_shares
        first = known_round == NEVER and not plain  # the first message is plain in any case
        return bytes([first, self.round_index > known_round]) + (self.changed_C > known_round).tobytes()

    def message_since(
        self, known_round: int, *, choice_C: NDArray[np.bool_] | None = None, with_mask: bool = True
    ) -> Encoded:
        """What a client that knows the model of ``known_round`` must be sent.

        A client that missed rounds gets each chunk that changed once, with its latest mean and share. The first
        message is taken as it is, so it has no shares and every bit.
        """
        first = known_round == NEVER
        changed_C = self.changed_C > known_round
        return encode(
            self.layout,
            self.state.weights_P,
            changed_C,
            round_index=self.round_index,
            sender=COORDINATOR,
            num_samples=0,
            buffers=_buffers(self.state) if self.round_index > known_round else None,
            packing=PLAIN if first else self.rules.packing,
            shares_K=self.shares_C[changed_C] if self.rules.with_shares and not first else None,
            choice_C=choice_C,
            with_mask=with_mask,
        )


@dataclass(frozen=True)
class FeedbackModel:
    """A model that adds up changes, with error feedback towards the clients too.

    All clients know ``shared``: both ends add the same decoded values in the same order, so it is the same bits
    everywhere. What the coordinator knows beyond that is ``withheld_P``.
    """

    layout: Layout
    rules: Rules
    shared: ModelState
    withheld_P: NDArray[np.float32]
    """What could not be told yet: chunks left out, and what encoding lost."""
    pending_P: NDArray[np.float32]
    """What there was to tell after the last round, before it was encoded."""
    changed_C: NDArray[np.int32]
    round_index: int

    @classmethod
    def initial(cls, layout: Layout, rules: Rules, state: ModelState) -> FeedbackModel:
        """The model that everybody starts from."""
        nothing_P = np.zeros(layout.num_parameters, np.float32)
        return cls(layout, rules, state, nothing_P, nothing_P, np.zeros(layout.num_chunks, np.int32), 0)

    @property
    def state(self) -> ModelState:
        """The coordinator's own model: what is shared, and what it has not told yet."""
        return replace(self.shared, weights_P=self.shared.weights_P + self.withheld_P)

    def change_of(self, total: RoundSum) -> NDArray[np.float32]:
        """How far a round's changes move the model, (P,)."""
        return total.chunks.over(total.weight)

    def after(self, round_index: int, total: RoundSum) -> FeedbackModel:
        """This model after a round's changes, divided by the whole cohort's weight."""
        pending_P = self.withheld_P + np.float32(self.rules.step) * total.chunks.over(total.weight)
        told_C = self._to_tell(pending_P, total.chunks.sent_C)
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
        )

    def tells(self, known_round: int) -> bytes:
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
        with_mask = with_mask or self.rules.downlink_percentage is not None
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
        if self.rules.downlink_percentage is None:
            return sent_C
        count = sensitivity.fixed(self.layout.num_chunks, self.rules.downlink_percentage)
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
            packing=self.rules.packing,
            is_change=True,
            choice_C=choice_C,
            with_mask=with_mask,
        )


GlobalModel = MeanModel | FeedbackModel


def initial_global_model(
    settings: ChunkingSettings, server_learning_rate: float, layout: Layout, state: ModelState
) -> GlobalModel:
    """The kind of model that the receiver's rule asks for."""
    rules = rules_of(settings, server_learning_rate)
    if settings.feeds_back:
        return FeedbackModel.initial(layout, rules, state)
    return MeanModel.initial(layout, rules, state)


def _buffers(state: ModelState) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    return state.buffers_B, state.counters_I
