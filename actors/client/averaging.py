"""The steps of an exact average of peers' models: the mean of a part goes up, that of all comes down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.chunking.aggregation import BufferMean
from fedchunk.orchestrator.chunking.draft import Encoded
from fedchunk.orchestrator.chunking.encoding import Message, decode, encode
from fedchunk.orchestrator.chunking.header import Expected, Origin
from fedchunk.orchestrator.contract.messages import ModelSpec, ModelState
from fedchunk.orchestrator.contract.peer_messages import AverageOrder
from fedchunk.orchestrator.core.errors import PayloadError
from fedchunk.orchestrator.methods.final_average import AverageForm


class Averaging:
    """Means as messages. Sums are in float64; of a mean that came as a message it counts what the message holds.

    They are cut otherwise than updates, and count peers instead of samples: both ends know both from the settings and
    the tree, so over a connection that stands there is no more to say than in other messages.
    """

    def __init__(self, spec: ModelSpec, form: AverageForm) -> None:
        self._spec, self._layout, self._packing = spec, form.layout, form.packing

    def up(self, order: AverageOrder, own: ModelState, payloads: Sequence[NDArray[np.uint8]]) -> Encoded:
        """The mean of the peer's own model and of all below it, for its parent; at the root that of all."""
        total_P = own.weights_P.astype(np.float64)
        buffers = BufferMean(self._spec.num_float_buffers, self._spec.num_integer_buffers)
        buffers.add(own.buffers_B, own.counters_I, 1.0)
        for sender, count, payload in zip(order.senders, order.counts, payloads, strict=True):
            part, part_buffers = self._opened(order, sender, count, payload)
            total_P += np.multiply(part.values, count, dtype=np.float64)
            buffers.add(*part_buffers, float(count))
        peers = 1 + sum(order.counts)
        return encode(
            self._layout,
            (total_P / peers).astype(np.float32),
            np.ones(self._layout.num_chunks, np.bool_),
            round_index=order.round_index,
            sender=order.client_id,
            num_samples=peers,
            buffers=buffers.mean(),
            packing=self._packing,
        ).over(stands=order.client_id not in order.newcomers)

    def down(self, order: AverageOrder, own: ModelState, payload: NDArray[np.uint8]) -> ModelState:
        """The mean of all, as the message has it: the same bits for everybody."""
        (sender,), (count,) = order.senders, order.counts
        whole, buffers = self._opened(order, sender, count, payload)
        weights_P = np.require(whole.values, requirements="A")  # others than numpy work on it
        return replace(own, weights_P=weights_P, buffers_B=buffers[0], counters_I=buffers[1])

    def _opened(
        self, order: AverageOrder, sender: int, count: int, payload: NDArray[np.uint8]
    ) -> tuple[Message, tuple[NDArray[np.float32], NDArray[np.int64]]]:
        expected = Expected(Origin(order.round_index, sender, count), stands=sender not in order.newcomers)
        counts = self._spec.num_float_buffers, self._spec.num_integer_buffers
        message = decode(payload, self._layout, expected, *counts)
        if message.is_change or not message.mask_C.all() or message.buffers_B is None or message.counters_I is None:
            raise PayloadError("is not the whole of a model")
        return message, (message.buffers_B, message.counters_I)
