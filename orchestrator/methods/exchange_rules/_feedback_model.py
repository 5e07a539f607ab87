"""The coordinator's model with error feedback: adds up changes, and keeps what it has not told yet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.chunking import scoring, selection, sensitivity
from fedchunk.orchestrator.chunking.aggregation import RoundSum
from fedchunk.orchestrator.chunking.codecs import FLOAT32, Packed, pack_chunks
from fedchunk.orchestrator.chunking.draft import Buffers, Draft
from fedchunk.orchestrator.chunking.feedback import withheld_of
from fedchunk.orchestrator.chunking.header import Origin
from fedchunk.orchestrator.chunking.layout import Layout
from fedchunk.orchestrator.chunking.told import Told, kept, merged, often, replayed, since
from fedchunk.orchestrator.contract.messages import COORDINATOR, KnownToAll, ModelState
from fedchunk.orchestrator.methods.exchange_rules._rule import NEVER, OF_SETTINGS, ServerSide
from fedchunk.orchestrator.methods.server_step import OptimizerState


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
    changed_C: NDArray[np.int32]
    round_index: int
    first_P: NDArray[np.float32] | None = field(default=None, metadata=OF_SETTINGS)
    """The first model, where clients that missed rounds may be sent an encoded difference to it."""
    history: tuple[Told, ...] = ()
    """What was told in the last rounds, as far back as it can be cheaper to tell it again than to send values."""
    optimizer: OptimizerState = field(default_factory=dict)

    @classmethod
    def initial(
        cls,
        server: ServerSide,
        downlink_percentage: float | None,
        state: ModelState,
        first_P: NDArray[np.float32] | None = None,
    ) -> FeedbackModel:
        """The model that everybody starts from."""
        nothing_P = np.zeros(server.layout.num_parameters, np.float32)
        changed_C = np.zeros(server.layout.num_chunks, np.int32)
        return cls(server, downlink_percentage, state, nothing_P, changed_C, 0, first_P)

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
        packed = pack_chunks(self.server.packing.codec, pending_P, told_C, self.layout)
        shared_P = self.shared.weights_P.copy()
        self.layout.add(packed.seen, told_C, shared_P)
        newest = Told.of(round_index, told_C, packed)
        return replace(
            self,
            shared=ModelState(shared_P, *total.buffers.mean()),
            withheld_P=withheld_of(pending_P, told_C, packed.lost, self.layout),
            changed_C=np.where(told_C, np.int32(round_index), self.changed_C),
            round_index=round_index,
            history=kept(self.history, newest, 4 * self.layout.num_parameters),
            optimizer=optimizer,
        )

    def _moved(self, step_P: NDArray[np.float32], sent_C: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """The chunks that a round moves: an optimizer may move what nobody sent."""
        if self.server.step.is_plain:
            return sent_C
        moved_C: NDArray[np.bool_] = sent_C | (self.layout.sums_C((step_P != 0).astype(np.float64)) > 0)
        return moved_C

    def _to_tell(self, pending_P: NDArray[np.float32], sent_C: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """All that changed, or the best of all that is pending when the downlink has a percentage of its own."""
        if self.downlink_percentage is None:
            return sent_C
        count = sensitivity.fixed(self.layout.num_chunks, self.downlink_percentage)
        return selection.best(scoring.norms(pending_P, self.layout), count)

    @property
    def replaced_since(self) -> int:
        """0: changes are added, and replace nothing."""
        return 0

    @property
    def known_to_all(self) -> KnownToAll | None:
        """The shared model; None where clients that missed rounds may have other bits."""
        return KnownToAll(self.shared) if self.first_P is None else None

    def message_key(self, known_round: int) -> bytes:
        """What :meth:`messages_since` depends on: clients for whom this is equal are sent the same."""
        reaches = since(self.history, known_round, self.server.packing.codec) is not None
        told_from = known_round if reaches else NEVER
        head = bytes([self.round_index > known_round]) + told_from.to_bytes(4, "little", signed=True)
        return head + (self.changed_C > known_round).tobytes()

    def messages_since(
        self, known_round: int, *, choice_C: NDArray[np.bool_] | None = None, with_mask: bool = True
    ) -> tuple[Draft, ...]:
        """What a client that knows the shared model of ``known_round`` must be sent.

        One that has missed nothing but the last round gets its changes, as they were encoded. One that missed more gets
        what takes the fewest bytes of: the chunks that changed as float32 values; what it missed as it was told then,
        message by message or merged. With each of them it shares every bit again. Where that is allowed, it may also
        get an encoded difference to the first model, and then it has other bits.
        """
        buffers = _buffers(self.shared) if self.round_index > known_round else None
        last = _Last(buffers, choice_C, with_mask or self.downlink_percentage is not None)
        missed = (
            since(self.history, known_round, self.server.packing.codec) if 0 <= known_round < self.round_index else None
        )
        if missed is not None and len(missed) == 1:
            return (self._told(missed[0].mask_C, missed[0].packed(self.server.packing.codec, self.layout), last),)
        changed_C = self.changed_C > known_round
        ways: list[tuple[Draft, ...]] = []
        if missed is not None:
            ways.extend(self._retold(missed, last))
        if self.first_P is not None and known_round != NEVER:
            ways.append((self._since_first(self.first_P, last),))
        lengths = [_length(way) for way in ways]
        if not ways or min(lengths) >= 4 * self.layout.num_values(changed_C):  # else values alone are longer
            ways.insert(0, (self._values(changed_C, last),))
            lengths.insert(0, _length(ways[0]))
        return ways[lengths.index(min(lengths))]

    def _retold(self, missed: Sequence[Told], last: _Last) -> Iterator[tuple[Draft, ...]]:
        """What was told, message by message and merged."""
        codec = self.server.packing.codec
        told = replayed(missed)
        if not told:
            return
        *earlier, newest = told
        yield (*map(self._old, earlier), self._told(newest.mask_C, newest.packed(codec, self.layout), last))
        often_C = often(missed, self.layout)
        layers = merged(missed, often_C, codec, self.layout)
        if layers is not None:
            endings = [_NOT_LAST] * (len(layers) - 1) + [last]
            values = [self._values(often_C, _NOT_LAST)] if often_C.any() else []
            yield (*values, *(self._told(*layer, ending) for layer, ending in zip(layers, endings, strict=True)))

    def _old(self, told: Told) -> Draft:
        """An old message, one of several; made once for all who missed it."""
        if told.round_index not in self._olds:
            packed = told.packed(self.server.packing.codec, self.layout)
            self._olds[told.round_index] = self._told(told.mask_C, packed, _NOT_LAST)
        return self._olds[told.round_index]

    @cached_property
    def _olds(self) -> dict[int, Draft]:
        return {}

    def _values(self, mask_C: NDArray[np.bool_], last: _Last) -> Draft:
        """Chunks of the shared model as they are."""
        packed = pack_chunks(FLOAT32, self.shared.weights_P, mask_C, self.layout)
        return Draft(
            self.layout, packed, mask_C, Origin(self.round_index, COORDINATOR, 0), last.buffers,
            choice_C=last.choice_C, with_mask=last.with_mask,
        )  # fmt: skip

    def _told(self, mask_C: NDArray[np.bool_], packed: Packed, last: _Last, *, from_first: bool = False) -> Draft:
        """Changes."""
        origin, compression = Origin(self.round_index, COORDINATOR, 0), self.server.packing.compression
        return Draft(
            self.layout, packed, mask_C, origin, last.buffers, compression,
            is_change=True, from_first=from_first, choice_C=last.choice_C, with_mask=last.with_mask,
        )  # fmt: skip

    def _since_first(self, first_P: NDArray[np.float32], last: _Last) -> Draft:
        """All that changed since the first model."""
        moved_C = self.changed_C > 0
        packed = pack_chunks(self.server.packing.codec, self.shared.weights_P - first_P, moved_C, self.layout)
        return self._told(moved_C, packed, last, from_first=True)


@dataclass(frozen=True)
class _Last:
    """What only the last of several messages has."""

    buffers: Buffers | None
    choice_C: NDArray[np.bool_] | None
    with_mask: bool


_NOT_LAST = _Last(None, None, with_mask=True)


def _length(messages: Sequence[Draft]) -> int:
    """Bytes of messages over a connection that stands."""
    return sum(sum(message.sizes(stands=True).values()) for message in messages)


def _buffers(state: ModelState) -> Buffers:
    return state.buffers_B, state.counters_I
