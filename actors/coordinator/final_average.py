"""After the last round of peers: their models' mean is worked out along a spanning tree, and becomes everybody's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from fedchunk.actors.coordinator.calls import run_calls_in_order, same_call_unless_gone
from fedchunk.actors.coordinator.ledger import Ledger
from fedchunk.orchestrator.contract.evaluation import EvaluationSums
from fedchunk.orchestrator.contract.messages import Span
from fedchunk.orchestrator.contract.peer_messages import AverageOrder, AverageReport
from fedchunk.orchestrator.contract.ports import Call, ClientGroup, Handle, Returned
from fedchunk.orchestrator.core.errors import RoundFailed
from fedchunk.orchestrator.methods.final_average import ROOT, SpanningTree
from fedchunk.orchestrator.methods.topology import Topology


@dataclass
class Averaged:
    """What it left behind."""

    states: list[Handle]
    """Of all peers, in order."""
    whole: dict[int, EvaluationSums]
    """Each peer's model on the whole test set; measured once where it is the same at all."""
    own: dict[int, EvaluationSums]
    """The model on each peer's own samples that are kept for it."""
    spans: list[Span] = field(default_factory=list)


class FinalAverage:
    """Two messages over each link of the tree, each behind a handle: nobody is handed one of who is no neighbour."""

    def __init__(self, group: ClientGroup, topology: Topology, max_attempts: int, *, personal: bool) -> None:
        """``personal``: something of the model stays with each peer, so that their models differ all the same."""
        self._group, self._max_attempts, self._personal = group, max_attempts, personal
        self._neighbours = topology.neighbours
        self._tree = SpanningTree.of(topology)

    def run(
        self, round_index: int, states: Sequence[Handle | None], newcomers: frozenset[int], ledger: Ledger
    ) -> Averaged:
        """Averages the models of ``states`` (None: a peer that never trained) and bills every message.

        ``newcomers`` have never sent anything, also not in this round: what they send first sets up the connections.

        Raises RoundFailed: without one peer there is no mean of all.
        """
        tree, means, spans = self._tree, dict[int, Handle](), list[Span]()
        whole: AverageReport | None = None
        for level in reversed(tree.levels):

            def up(client: int) -> Call:
                below = tree.children[client]
                order = self._order(round_index, client, below, newcomers)
                return Call(client, "average_up", (order, states[client], *(means[child] for child in below)), 1, 1)

            for client, answer in self._answers(round_index, level, up):
                whole = answer.values[0]
                means[client] = answer.handles[0]
                spans.extend(whole.spans)
                if client != ROOT:
                    ledger.bill(client, tree.parents[client], whole.sizes)
        assert whole is not None, "the root is the last"

        def down(client: int) -> Call:
            order = self._order(round_index, client, (ROOT,), newcomers, evaluate=client == ROOT or self._personal)
            return Call(client, "average_down", (order, states[client], means[ROOT]), 1, 1)

        done: dict[int, Handle] = {}
        own: dict[int, EvaluationSums] = {}
        measured: dict[int, EvaluationSums] = {}
        for client, answer in self._answers(round_index, range(len(states)), down):
            report: AverageReport = answer.values[0]
            done[client] = answer.handles[0]
            spans.extend(report.spans)
            if report.whole is not None:
                measured[client] = report.whole
            if report.own is not None:
                own[client] = report.own
            if client != ROOT:
                ledger.bill(tree.parents[client], client, whole.sizes)
        everybody = range(len(states))
        of_each = measured if self._personal else dict.fromkeys(everybody, measured[ROOT])
        return Averaged([done[client] for client in everybody], of_each, own, spans)

    def _order(
        self,
        round_index: int,
        client: int,
        senders: tuple[int, ...],
        newcomers: frozenset[int],
        *,
        evaluate: bool = False,
    ) -> AverageOrder:
        counts = tuple(self._tree.sizes[sender] for sender in senders)
        new = newcomers & {client, *senders}
        return AverageOrder(round_index, client, len(self._neighbours[client]), senders, counts, new, evaluate)

    def _answers(
        self, round_index: int, clients: Sequence[int], call: Callable[[int], Call]
    ) -> list[tuple[int, Returned]]:
        """All clients' answers to a step, in order."""
        answers: list[tuple[int, Returned]] = []
        failed: dict[int, str] = {}
        calls = [call(client) for client in clients]
        for settled in run_calls_in_order(self._group, calls, self._max_attempts, same_call_unless_gone):
            if settled.answer is None:
                failed[settled.key] = f"final average: {settled.reason}"
            else:
                answers.append((settled.key, settled.answer))
        if failed:
            raise RoundFailed(round_index, len(answers), len(calls), failed)
        return answers
