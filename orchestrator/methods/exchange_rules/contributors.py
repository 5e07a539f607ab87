"""A chunk becomes the weighted mean of those who sent it; one that nobody sent stays the receiver's own."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.chunking.aggregation import RoundSum
from fedchunk.orchestrator.chunking.draft import Draft
from fedchunk.orchestrator.chunking.encoding import PLAIN, draft
from fedchunk.orchestrator.chunking.layout import Layout
from fedchunk.orchestrator.chunking.mixing import (
    Contribution,
    Receiver,
    aggregate_with_neighbours,
    mean_with_neighbours,
)
from fedchunk.orchestrator.contract.messages import COORDINATOR, KnownToAll, ModelState
from fedchunk.orchestrator.methods.exchange_rules._rule import (
    NEVER,
    OF_SETTINGS,
    ExchangeRule,
    GlobalModel,
    PeerView,
    ServerSide,
)
from fedchunk.orchestrator.methods.server_step import OptimizerState


def contributors() -> ExchangeRule:
    """The rule; also that of full exchange."""
    return Contributors()


class Contributors(ExchangeRule):
    """Values are sent, and means take their place."""

    replaces_sent = True

    def global_model(self, server: ServerSide, state: ModelState) -> GlobalModel:
        """The coordinator's model before the first round."""
        return MeanModel.initial(server, state, with_shares=self.sends_shares)

    def mix(self, view: PeerView) -> tuple[NDArray[np.float32], tuple[NDArray[np.float32], ...]]:
        """The mean of the peer and of those it heard, chunk by chunk."""
        receiver, heard = receiver_of(view), contributions_of(view)
        if view.aggregate is not None:
            return aggregate_with_neighbours(receiver, heard, view.layout, view.aggregate), ()
        return mean_with_neighbours(receiver, heard, view.layout), ()


def receiver_of(view: PeerView) -> Receiver:
    """The peer that mixes."""
    return Receiver(view.client_id, view.own_P, view.weight_of(view.client_id))


def contributions_of(view: PeerView) -> list[Contribution]:
    """What its neighbours sent."""
    return [
        Contribution(sender, message.mask_C, message.values, view.weight_of(sender))
        for sender, message in view.messages.items()
        if sender != view.client_id
    ]


@dataclass(frozen=True)
class MeanModel:
    """A model that takes the aggregate of those who sent a chunk. Round 0 is the initial model."""

    server: ServerSide
    with_shares: bool = field(metadata=OF_SETTINGS)
    """Whether the contributors' share of the cohort's weight goes down with a chunk."""
    state: ModelState
    changed_C: NDArray[np.int32]
    """The round in which each chunk last changed."""
    shares_C: NDArray[np.float32]
    """Share of the cohort's weight that each chunk's contributors had when it last changed."""
    round_index: int
    """The last round that is in it."""
    optimizer: OptimizerState = field(default_factory=dict)

    @classmethod
    def initial(cls, server: ServerSide, state: ModelState, *, with_shares: bool) -> MeanModel:
        """The model that everybody starts from."""
        chunks = server.layout.num_chunks
        return cls(server, with_shares, state, np.zeros(chunks, np.int32), np.ones(chunks, np.float32), 0)

    @property
    def layout(self) -> Layout:
        """The cut."""
        return self.server.layout

    @property
    def known_to_all(self) -> KnownToAll | None:
        """This model, with the clients' own chunks where nothing changed; None where values are mixed, or lose bits."""
        if self.with_shares or self.server.packing != PLAIN:
            return None
        return KnownToAll(self.state, self.changed_C)

    @property
    def replaced_since(self) -> int:
        """The round in which the chunk last changed that has not changed for longest; where values are mixed 0."""
        return 0 if self.with_shares else int(self.changed_C.min())

    def change_of(self, total: RoundSum) -> NDArray[np.float32]:
        """How far a round's updates move the model, (P,)."""
        return total.chunks.means_in(self.state.weights_P) - self.state.weights_P

    def after(self, round_index: int, total: RoundSum) -> MeanModel:
        """This model after a round's updates."""
        weights_P, sent_C = total.chunks.means_in(self.state.weights_P), total.chunks.sent_C
        optimizer = self.optimizer
        step, changed_C = self.server.step, sent_C
        if not step.is_plain or step.rate_of(round_index) != 1:
            change_P = weights_P - self.state.weights_P
            step_P, optimizer = step.of(change_P, sent_C, optimizer, round_index, self.layout)
            weights_P = self.state.weights_P + step_P
            if not step.is_plain:  # an optimizer may move what nobody sent
                changed_C = sent_C | (self.layout.sums_C((step_P != 0).astype(np.float64)) > 0)
        shares_C = (total.chunks.weights_C / total.weight).astype(np.float32)
        return replace(
            self,
            state=ModelState(weights_P, *total.buffers.mean()),
            changed_C=np.where(changed_C, np.int32(round_index), self.changed_C),
            shares_C=np.where(sent_C, shares_C, self.shares_C),
            round_index=round_index,
            optimizer=optimizer,
        )

    def message_key(self, known_round: int) -> bytes:
        """What :meth:`messages_since` depends on: clients for whom this is equal are sent the same."""
        plain = self.server.packing == PLAIN and not self.with_shares
        first = known_round == NEVER and not plain  # the first message is plain in any case
        return bytes([first, self.round_index > known_round]) + (self.changed_C > known_round).tobytes()

    def messages_since(
        self, known_round: int, *, choice_C: NDArray[np.bool_] | None = None, with_mask: bool = True
    ) -> tuple[Draft]:
        """What a client that knows the model of ``known_round`` must be sent.

        A client that missed rounds gets each chunk that changed once, with its latest mean and share. The first
        message is taken as it is, so it has no shares and every bit.
        """
        first = known_round == NEVER
        changed_C = self.changed_C > known_round
        message = draft(
            self.layout,
            self.state.weights_P,
            changed_C,
            round_index=self.round_index,
            sender=COORDINATOR,
            num_samples=0,
            buffers=(self.state.buffers_B, self.state.counters_I) if self.round_index > known_round else None,
            packing=PLAIN if first else self.server.packing,
            shares_K=self.shares_C[changed_C] if self.with_shares and not first else None,
            choice_C=choice_C,
            with_mask=with_mask,
        )
        return (message,)
