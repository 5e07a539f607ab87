"""The last steps of a client's round, as functions: what is pending becomes a payload and the state after it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from fedchunk.orchestrator.chunking.encoding import Encoded, encode
from fedchunk.orchestrator.chunking.feedback import withheld_after
from fedchunk.orchestrator.chunking.layout import Layout
from fedchunk.orchestrator.contract.messages import ClientState
from fedchunk.orchestrator.methods.exchange import packing_of
from fedchunk.orchestrator.settings.sections import ChunkingSettings
from numpy.typing import NDArray


@dataclass(frozen=True)
class Outgoing:
    """A payload, and what the client remembers once it is sent."""

    encoded: Encoded
    state: ClientState
    residual_norm: float | None
    """L2 norm of what it keeps back; None where values are sent."""


def emit(
    settings: ChunkingSettings,
    layout: Layout,
    round_index: int,
    sender: int,
    num_samples: int,
    pending: ClientState,
    selected_C: NDArray[np.bool_],
) -> Outgoing:
    """Encodes the chunks ``selected_C`` of what a client has to send.

    With error feedback and stale copies that is everything withheld, and what the receiver does not see of it stays
    withheld; else it is the client's weights. A choice that the coordinator made is not sent back to it.

    Raises:
        ValueError: a value does not fit the encoding.
    """
    assert pending.model is not None
    vector_P = pending.model.weights_P
    if settings.sends_changes:
        assert pending.withheld_P is not None
        vector_P = pending.withheld_P
    encoded = encode(
        layout,
        vector_P,
        selected_C,
        round_index=round_index,
        sender=sender,
        num_samples=num_samples,
        buffers=(pending.model.buffers_B, pending.model.counters_I),
        packing=packing_of(settings),
        is_change=settings.sends_changes,
        with_mask=not settings.agrees,
    )
    withheld_P = pending.withheld_P
    residual_norm = None
    if settings.sends_changes and withheld_P is not None:
        withheld_P = withheld_after(withheld_P, selected_C, encoded.seen, layout)
        residual_norm = float(np.sqrt(np.square(withheld_P, dtype=np.float64).sum()))
    elif withheld_P is not None:
        withheld_P = withheld_P.copy()
        layout.paste(np.zeros(layout.num_values(selected_C), np.float32), selected_C, withheld_P)
    last_sent_C = np.where(selected_C, np.int32(round_index), pending.last_sent_C)
    return Outgoing(encoded, replace(pending, last_sent_C=last_sent_C, withheld_P=withheld_P), residual_norm)
