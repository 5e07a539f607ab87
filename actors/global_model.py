"""The coordinator's own model: what it takes from a round, and what a client has still to be told of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from orchestrator.chunking.aggregation import BufferMean, ChunkSum
from orchestrator.chunking.encoding import Message, encode
from orchestrator.chunking.layout import Layout
from orchestrator.messages import COORDINATOR, ModelState

NEVER = -1
"""``known_round`` of a client that has not been told anything yet."""


@dataclass(frozen=True)
class GlobalModel:
    """A model with a memory of when each chunk last changed, so that a client is sent what it has missed.

    Round 0 is the initial model. A chunk takes its contributors' mean where somebody sent it and keeps what it had
    where nobody did.
    """

    layout: Layout
    state: ModelState
    changed_C: NDArray[np.int32]
    """The round in which each chunk last changed."""
    shares_C: NDArray[np.float32]
    """Share of the cohort's weight that each chunk's contributors had when it last changed."""
    round_index: int
    """The last round that is in it."""

    @classmethod
    def initial(cls, layout: Layout, state: ModelState) -> GlobalModel:
        """The model that everybody starts from."""
        zeros_C = np.zeros(layout.num_chunks, np.int32)
        return cls(layout, state, zeros_C, np.ones(layout.num_chunks, np.float32), 0)

    def after(self, round_index: int, total: RoundSum) -> GlobalModel:
        """This model after a round's updates."""
        weights_P = self.state.weights_P.copy()
        sent_C = total.chunks.write_means(weights_P)
        shares_C = (total.chunks.weights_C / total.weight).astype(np.float32)
        return GlobalModel(
            self.layout,
            ModelState(weights_P, *total.buffers.mean()),
            np.where(sent_C, np.int32(round_index), self.changed_C),
            np.where(sent_C, shares_C, self.shares_C),
            round_index,
        )

    def message_since(self, known_round: int, *, with_shares: bool) -> tuple[NDArray[np.uint8], dict[str, int]]:
        """What a client that knows the model of ``known_round`` must be sent, encoded, and its bytes by kind.

        A client that missed rounds gets each chunk that changed once, with its latest mean and share. Shares are
        left out of the first message: it is taken as it is.
        """
        changed_C = self.changed_C > known_round
        anything_new = self.round_index > known_round
        shares_K = self.shares_C[changed_C] if with_shares and known_round != NEVER else None
        return encode(
            self.layout,
            self.state.weights_P,
            changed_C,
            round_index=self.round_index,
            sender=COORDINATOR,
            num_samples=0,
            buffers_B=self.state.buffers_B if anything_new else np.empty(0, np.float32),
            counters_I=self.state.counters_I if anything_new else np.empty(0, np.int64),
            shares_K=shares_K,
        )


class RoundSum:
    """Everything a round adds to the model. Add in client order."""

    def __init__(self, layout: Layout, num_float_buffers: int, num_integer_buffers: int) -> None:
        self.chunks = ChunkSum(layout)
        self.buffers = BufferMean(num_float_buffers, num_integer_buffers)
        self.weight = 0.0

    def add(self, message: Message, weight: float) -> None:
        """Adds one client's update with its weight in the mean."""
        assert message.buffers_B is not None
        assert message.counters_I is not None
        self.chunks.add(message.mask_C, message.values, weight)
        self.buffers.add(message.buffers_B, message.counters_I, weight)
        self.weight += weight
