"""What a client sends is checked before it counts: nothing in a message is believed because its sender says so."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.chunking.encoding import Message, decode
from fedchunk.orchestrator.chunking.header import SIZE
from fedchunk.orchestrator.chunking.score_message import decode_scores
from fedchunk.orchestrator.contract.messages import ModelSpec
from fedchunk.orchestrator.core.errors import PayloadError
from fedchunk.orchestrator.methods.method import Method


class PayloadVerifier:
    """Decodes clients' messages. Every method raises PayloadError for one that must not count."""

    def __init__(self, method: Method, spec: ModelSpec, samples_per_client: Sequence[int]) -> None:
        self._sends_changes = method.rule.sends_changes
        self._own_codec = method.own_codec
        self._layout = method.layout
        self._spec = spec
        self._samples = samples_per_client

    def update(
        self, round_index: int, client: int, payload: NDArray[np.uint8], agreed_C: NDArray[np.bool_] | None
    ) -> Message:
        """One client's update; ``agreed_C`` are the chunks it was told to send, None where the choice is its own."""
        spec = self._spec
        message = decode(
            payload, self._layout, spec.num_float_buffers, spec.num_integer_buffers, agreed_C, self._own_codec
        )
        self._check_origin(round_index, client, (message.round_index, message.sender, message.num_samples))
        if message.buffers_B is None or message.counters_I is None:
            raise PayloadError("holds no buffers")
        if message.shares_K is not None or message.choice_C is not None:
            raise PayloadError("holds what only the coordinator sends")
        if message.is_change != self._sends_changes:
            raise PayloadError("holds changes" if message.is_change else "holds values instead of changes")
        if agreed_C is not None and not np.array_equal(message.mask_C, agreed_C):
            raise PayloadError("holds other chunks than those agreed on")
        return message

    def scores(
        self, round_index: int, client: int, payload: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float32], dict[str, int]]:
        """One client's scores, (C,), and the message's bytes by kind."""
        head, scores_C = decode_scores(payload, self._layout)
        self._check_origin(round_index, client, (head.round_index, head.sender, head.num_samples))
        return scores_C, {"header": SIZE, "scores": len(payload) - SIZE}

    def _check_origin(self, round_index: int, client: int, found: tuple[int, int, int]) -> None:
        expected = (round_index, client, self._samples[client])
        if found != expected:
            raise PayloadError(f"says (round, client, samples) {found}, expected {expected}")
