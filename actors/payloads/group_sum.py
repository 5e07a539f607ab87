"""The updates of one group, opened, checked and added; the same wherever it is done."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

import numpy as np
from numpy.typing import NDArray

from fedchunk.actors.payloads.verification import PayloadVerifier
from fedchunk.orchestrator.chunking.aggregation import PartialSum, RoundSum, Update
from fedchunk.orchestrator.chunking.layout import Layout
from fedchunk.orchestrator.contract.messages import ModelSpec
from fedchunk.orchestrator.core.errors import PayloadError
from fedchunk.orchestrator.methods.outgoing import Outgoing


class GroupSum:
    """Adds the clients of one group, in their order. What does not pass the checks is left out, billed and named."""

    def __init__(
        self,
        layout: Layout,
        spec: ModelSpec,
        intake: PayloadVerifier,
        weight_of: Callable[[int], float],
        into: RoundSum | None = None,
    ) -> None:
        """``into`` takes the updates; without it they make a sum of their own."""
        self._sum = into or RoundSum(layout, spec.num_float_buffers, spec.num_integer_buffers)
        self._intake = intake
        self._weight_of = weight_of
        self.rejected: dict[int, str] = {}
        self.sizes: dict[int, dict[str, int]] = {}
        self.largest: dict[int, float] = {}
        """Of each client that counts, the largest absolute value for a unit."""

    def add(
        self,
        round_index: int,
        sent: Iterable[tuple[int, NDArray[np.uint8] | Outgoing]],
        agreed_C: NDArray[np.bool_] | None = None,
        most_a_unit: float | None = None,
        *,
        newcomers: Collection[int] = (),
    ) -> None:
        """Adds what clients sent, in order.

        Args:
            round_index: this round.
            sent: clients with their payloads; or with messages that were made here, and need not be written and opened.
            agreed_C: the chunks that they were told to send.
            most_a_unit: the largest value that an update may have, see :mod:`actors.payloads.outliers`.
            newcomers: clients that send for the first time.
        """
        updates: list[Update] = []
        for client, payload in sent:
            try:
                if isinstance(payload, Outgoing):
                    updates.append(self._counted(round_index, client, payload, most_a_unit))
                else:
                    stands = client not in newcomers
                    updates.append(self._opened(round_index, client, payload, agreed_C, most_a_unit, stands=stands))
            except PayloadError as error:
                self.rejected[client] = error.reason
                self.sizes[client] = {"rejected": _length(payload)}
        self._sum.add_all(updates)

    def _counted(self, round_index: int, client: int, sent: Outgoing, most_a_unit: float | None) -> Update:
        draft, self.largest[client] = sent.draft, self._intake.counted(round_index, client, sent, most_a_unit)
        self.sizes[client] = sent.sizes
        assert draft.buffers is not None
        return Update(draft.mask_C, draft.seen, *draft.buffers, self._weight_of(client))

    def _opened(
        self,
        round_index: int,
        client: int,
        payload: NDArray[np.uint8],
        agreed_C: NDArray[np.bool_] | None,
        most_a_unit: float | None,
        *,
        stands: bool,
    ) -> Update:
        message, largest = self._intake.update(round_index, client, payload, agreed_C, most_a_unit, stands=stands)
        assert message.buffers_B is not None
        assert message.counters_I is not None
        self.sizes[client], self.largest[client] = message.sizes, largest
        return Update(message.mask_C, message.values, message.buffers_B, message.counters_I, self._weight_of(client))

    @property
    def sent_C(self) -> NDArray[np.bool_]:
        """The chunks that somebody sent, of those that count."""
        return self._sum.chunks.sent_C

    def partial(self) -> PartialSum | None:
        """The sum; None where no client counts."""
        return self._sum.partial() if self._sum.weight else None


def _length(sent: object) -> int:
    """Bytes of what was sent, whatever it is."""
    return sum(sent.sizes.values()) if isinstance(sent, Outgoing) else getattr(sent, "nbytes", 0)
