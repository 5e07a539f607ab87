"""Messages that are handed on from peer to peer: every hop is billed on its edge."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from fedchunk.actors.coordinator.ledger import Ledger
from fedchunk.orchestrator.contract.messages import COORDINATOR
from fedchunk.orchestrator.methods.relaying import Edge, Tree

Sizes = Mapping[str, int]
"""The bytes of a message by kind."""


def bill_hops(ledger: Ledger, sent: Iterable[tuple[Iterable[Edge], Sizes]]) -> None:
    """Bills messages on all edges that they take, each with the edges of its way; an edge has one row for each kind."""
    on_edge: defaultdict[Edge, Counter[str]] = defaultdict(Counter)
    for edges, sizes in sent:
        for edge in edges:
            on_edge[edge].update(sizes)
    for (sender, receiver), sizes in sorted(on_edge.items()):
        ledger.bill(sender, receiver, sizes)


@dataclass(frozen=True)
class _Sent:
    """A message, before it is known along which edges it went."""

    sender: int
    receivers: tuple[int, ...]
    sizes: Sizes


class MessageLedger(Ledger):
    """A ledger of a star that also knows which messages there were, so that they can be billed along a tree."""

    def __init__(self, round_index: int) -> None:
        super().__init__(round_index)
        self._sent: list[_Sent] = []

    def bill(self, sender: int, receiver: int, sizes: Sizes) -> None:
        """Adds one message."""
        super().bill(sender, receiver, sizes)
        self._sent.append(_Sent(sender, (receiver,), sizes))

    def bill_all(self, sender: int, receivers: Iterable[int], sizes: Sizes) -> None:
        """Adds one message that goes to several receivers."""
        to = tuple(receivers)
        for receiver in to:
            super().bill(sender, receiver, sizes)
        self._sent.append(_Sent(sender, to, sizes))

    def along(self, tree: Tree, handed: Sequence[Edge] = ()) -> Iterator[tuple[Sequence[Edge], Sizes]]:
        """Each message with the edges that it takes where the coordinator is the tree's root.

        Who is not in the tree was away: nothing got there. ``handed`` is the way from the root before to this one,
        where it is another: what that one had to send when the round began comes along it first.
        """
        before = handed
        for message in self._sent:
            if message.sender != COORDINATOR:
                before = ()
                yield tree.up(message.sender), message.sizes
            elif any(receiver in tree for receiver in message.receivers):
                yield [*before, *tree.down(message.receivers)], message.sizes
