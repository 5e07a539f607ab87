"""The record of every byte that a message really occupies, for one round."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import pyarrow as pa

from fedchunk.orchestrator.contract.messages import COORDINATOR
from fedchunk.orchestrator.core.records import table_from_columns


class Ledger:
    """Rows of (sender, receiver, kind, bytes). A broadcast to d receivers is d messages."""

    def __init__(self, round_index: int) -> None:
        self._round_index = round_index
        self._rows: list[tuple[int, int, str, int]] = []
        self._uplink: Counter[int] = Counter()
        self._downlink: Counter[int] = Counter()

    def bill(self, sender: int, receiver: int, sizes: Mapping[str, int]) -> None:
        """Adds one message; kinds without bytes make no row."""
        total = 0
        for kind, size in sizes.items():
            if size:
                self._rows.append((sender, receiver, kind, size))
                total += size
        if sender != COORDINATOR:
            self._uplink[sender] += total
        if receiver != COORDINATOR:
            self._downlink[receiver] += total

    def bill_all(self, sender: int, receivers: Iterable[int], sizes: Mapping[str, int]) -> None:
        """Adds one message that goes to several receivers."""
        for receiver in receivers:
            self.bill(sender, receiver, sizes)

    def uplink_bytes(self, client: int | None = None) -> int:
        """Bytes that ``client`` sent; None: all clients."""
        return self._uplink.total() if client is None else self._uplink[client]

    def downlink_bytes(self, client: int | None = None) -> int:
        """Bytes that ``client`` received; None: all clients."""
        return self._downlink.total() if client is None else self._downlink[client]

    def table(self) -> pa.Table:
        """The round's rows of the ``ledger`` table."""
        senders, receivers, kinds, sizes = zip(*self._rows, strict=True) if self._rows else ((), (), (), ())
        rounds = [self._round_index] * len(self._rows)
        columns = {"round": rounds, "sender": senders, "receiver": receivers, "kind": kinds, "bytes": sizes}
        return table_from_columns("ledger", columns)
