"""The last steps of a client's round, as functions: what is pending becomes a payload and the state after it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.chunking.draft import Draft, Encoded
from fedchunk.orchestrator.chunking.encoding import draft
from fedchunk.orchestrator.contract.messages import ClientState
from fedchunk.orchestrator.methods.method import Method


@dataclass(frozen=True)
class Outgoing:
    """A message, and what the client remembers once it is sent."""

    draft: Draft
    stands: bool
    """Whether the client has sent something before."""
    state: ClientState
    residual_norm: float | None
    """L2 norm of what it keeps back; None where values are sent."""

    @property
    def sizes(self) -> dict[str, int]:
        """The message's bytes by kind."""
        return self.draft.sizes(stands=self.stands)

    def encoded(self) -> Encoded:
        """The message, written."""
        return self.draft.encoded().over(stands=self.stands)


def emit(
    method: Method,
    round_index: int,
    sender: int,
    num_samples: int,
    pending: ClientState,
    selected_C: NDArray[np.bool_],
    *,
    stands: bool,
    with_mask: bool = True,
    squares_C: NDArray[np.float64] | None = None,
) -> Outgoing:
    """Encodes the chunks ``selected_C`` of what a client has to send.

    What the receiver does not see of it stays with the client as its exchange rule says. ``stands``: the client has
    sent something before. ``with_mask`` is False where the receiver made the choice. ``squares_C`` are the squared
    norms of the chunks of what is withheld, where they are known.

    Raises:
        ValueError: a value does not fit the encoding.
    """
    assert pending.model is not None
    sent = draft(
        method.layout,
        method.rule.sent_vector(pending),
        selected_C,
        round_index=round_index,
        sender=sender,
        num_samples=num_samples,
        buffers=(pending.model.buffers_B, pending.model.counters_I),
        packing=method.packing,
        is_change=method.rule.sends_changes,
        with_mask=with_mask,
    )
    withheld_P, residual_norm = pending.withheld_P, None
    if withheld_P is not None:
        withheld_P, residual_norm = method.rule.after_sending(withheld_P, selected_C, sent, method.layout, squares_C)
    last_sent_C = np.where(selected_C, np.int32(round_index), pending.last_sent_C)
    return Outgoing(sent, stands, pending.after_sending(last_sent_C, withheld_P), residual_norm)
