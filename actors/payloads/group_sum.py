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
        sent: Iterable[tuple[int, NDArray[np.uint8]]],
        agreed_C: NDArray[np.bool_] | None = None,
        most_a_unit: float | None = None,
        *,
        newcomers: Collection[int] = (),
    ) -> None:
        """Adds clients' payloads, in order.

        Args:
            round_index: this round.
            sent: clients with their payloads.
            agreed_C: the chunks that they were told to send.
            most_a_unit: the largest value that an update may have, see :mod:`actors.payloads.outliers`.
            newcomers: clients that send for the first time.
        """
        updates: list[Update] = []
        for client, payload in sent:
            try:
                stands = client not in newcomers
                message, largest = self._intake.update(
                    round_index, client, payload, agreed_C, most_a_unit, stands=stands
                )
            except PayloadError as error:
                self.rejected[client] = error.reason
                self.sizes[client] = {"rejected": getattr(payload, "nbytes", 0)}
                continue
            assert message.buffers_B is not None
            assert message.counters_I is not None
            self.sizes[client], self.largest[client] = message.sizes, largest
            weight = self._weight_of(client)
            updates.append(Update(message.mask_C, message.values, message.buffers_B, message.counters_I, weight))
        self._sum.add_all(updates)

    def partial(self) -> PartialSum | None:
        """The sum; None where no client counts."""
        return self._sum.partial() if self._sum.weight else None
