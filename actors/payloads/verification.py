"""What a client sends is checked before it counts: nothing in a message is believed because its sender says so."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedchunk.actors.payloads.outliers import units
from fedchunk.orchestrator.chunking.encoding import Message, decode
from fedchunk.orchestrator.chunking.header import Expected, Origin, all_finite
from fedchunk.orchestrator.chunking.score_message import decode_scores
from fedchunk.orchestrator.contract.messages import ModelSpec
from fedchunk.orchestrator.core.errors import PayloadError
from fedchunk.orchestrator.methods.method import Method
from fedchunk.orchestrator.methods.outgoing import Outgoing
from fedchunk.orchestrator.settings.joined import Sections

MOST_SCORE = 1e12
"""Far above any norm of a gradient or of a change; one above it would choose the chunks of all others."""


def _check_bytes(payload: object) -> None:
    """Nothing of a message is used before it is known to be one."""
    if not (isinstance(payload, np.ndarray) and payload.dtype == np.uint8 and payload.ndim == 1):
        raise PayloadError(f"is {type(payload).__name__}, not a run of bytes")


BLOCK_VALUES = 1 << 16
"""Values looked at at once: a core's cache still has them when they are looked at again."""


def _largest(values: NDArray[np.float32]) -> float:
    """The largest absolute value; nan if one is nan."""
    blocks = (values[at : at + BLOCK_VALUES] for at in range(0, len(values), BLOCK_VALUES))
    ends = [(float(block.max()), -float(block.min())) for block in blocks]
    if any(math.isnan(highest) for highest, _ in ends):
        return math.nan
    return max(map(max, ends), default=0.0)


class PayloadVerifier:
    """Decodes clients' messages. Every method raises PayloadError for one that must not count."""

    def __init__(self, method: Method, spec: ModelSpec, samples_per_client: Sequence[int], settings: Sections) -> None:
        federation = settings.federation
        self._most_value, self._ratio = federation.max_update_value, federation.max_update_ratio
        self._units = units(samples_per_client, settings.training, of_changes=method.rule.sends_changes)
        self._most_chunks = method.chooser.most_in
        self._sends_changes = method.rule.sends_changes
        self._own_codec = method.own_codec
        self._layout = method.layout
        self._spec = spec
        self._samples = samples_per_client

    def update(
        self,
        round_index: int,
        client: int,
        payload: NDArray[np.uint8],
        agreed_C: NDArray[np.bool_] | None,
        most_a_unit: float | None = None,
        *,
        stands: bool,
    ) -> tuple[Message, float]:
        """One client's update, and its largest absolute value for a unit.

        Args:
            round_index: this round.
            client: who sent it.
            payload: what was sent.
            agreed_C: the chunks that the client was told to send; None where the choice is its own.
            most_a_unit: the largest value for a unit that is allowed, see :mod:`actors.payloads.outliers`.
            stands: whether the client has sent something before.
        """
        _check_bytes(payload)
        spec = self._spec
        expected = self._expected(round_index, client, stands=stands)
        message = decode(
            payload, self._layout, expected, spec.num_float_buffers, spec.num_integer_buffers, agreed_C, self._own_codec
        )
        if message.buffers_B is None or message.counters_I is None:
            raise PayloadError("holds no buffers")
        if message.shares_K is not None or message.choice_C is not None or message.from_first:
            raise PayloadError("holds what only the coordinator sends")
        if message.is_change != self._sends_changes:
            raise PayloadError("holds changes" if message.is_change else "holds values instead of changes")
        if agreed_C is not None and not np.array_equal(message.mask_C, agreed_C):
            raise PayloadError("holds other chunks than those agreed on")
        return message, self._check_amount(round_index, client, message.mask_C, message.values, most_a_unit)

    def scores(
        self, round_index: int, client: int, payload: NDArray[np.uint8], *, stands: bool
    ) -> tuple[NDArray[np.float32], dict[str, int]]:
        """One client's scores, (C,), and the message's bytes by kind."""
        _check_bytes(payload)
        expected = self._expected(round_index, client, stands=stands)
        scores_C, sizes = decode_scores(payload, self._layout, expected)
        if (largest := _largest(scores_C)) > MOST_SCORE:
            raise PayloadError(f"holds a score of {largest:g}; allowed are scores up to {MOST_SCORE:g}")
        return scores_C, sizes

    def counted(self, round_index: int, client: int, sent: Outgoing, most_a_unit: float | None = None) -> float:
        """As :meth:`update`, of a message that was made here and is not written: whatever else it is, it is right."""
        draft = sent.draft
        assert draft.buffers is not None
        if not all_finite(draft.buffers[0]):
            raise PayloadError("buffers that are not finite")
        return self._check_amount(round_index, client, draft.mask_C, draft.seen, most_a_unit)

    def _check_amount(
        self,
        round_index: int,
        client: int,
        mask_C: NDArray[np.bool_],
        values: NDArray[np.float32],
        most_a_unit: float | None,
    ) -> float:
        """Finite values may still be none that training ever gives, and be enough to end a run."""
        largest = _largest(values)
        if not math.isfinite(largest):
            raise PayloadError("values that are not finite")
        if largest > self._most_value:
            raise PayloadError(f"holds a value of {largest:g}; max_update_value is {self._most_value:g}")
        if most_a_unit is not None and largest > most_a_unit * self._units[client]:
            raise PayloadError(
                f"holds a value of {largest:g}, more than {self._ratio:g} times the median of the round's updates "
                f"(max_update_ratio), {most_a_unit * self._units[client]:g}"
            )
        chunks, most = int(np.count_nonzero(mask_C)), self._most_chunks(round_index, len(mask_C))
        if chunks > most:
            raise PayloadError(f"holds {chunks} chunks; in round {round_index} at most {most} may be sent")
        return largest / self._units[client]

    def _expected(self, round_index: int, client: int, *, stands: bool) -> Expected:
        return Expected(Origin(round_index, client, self._samples[client]), stands)
