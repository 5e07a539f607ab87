"""How many chunks a client may send in a round: policy, ages and budget, without knowing a single score."""

from __future__ import annotations

import math

from fedchunk.orchestrator.chunking import sensitivity
from fedchunk.orchestrator.commands.plan_messages import Bounds, Messages
from fedchunk.orchestrator.methods.agreement import asks_for_scores
from fedchunk.orchestrator.methods.budget import Budget, even_share


def chunks_of_round(messages: Messages, round_index: int, *, with_age: bool) -> Bounds:
    """Chunks that one client sends in a round, before any budget.

    Policies that read scores may find that nothing is worth sending. Overdue chunks go even above the ceiling, but
    none is overdue before round ``chunk_max_age + 1``.
    """
    chunking, num_chunks = messages.chunking, messages.layout.num_chunks
    if not chunking.chunking:
        return Bounds.exactly(num_chunks)
    asked = _asked_for(messages, round_index)
    if with_age and chunking.chunk_max_age is not None and round_index > chunking.chunk_max_age:
        return Bounds(asked.low, num_chunks)
    return asked


def _asked_for(messages: Messages, round_index: int) -> Bounds:
    chunking, num_chunks, chooser = messages.chunking, messages.layout.num_chunks, messages.method.chooser
    if not chooser.reads_scores or round_index <= chunking.sensitivity_warmup_rounds:
        return Bounds.exactly(chooser.count_in(round_index, num_chunks))
    return Bounds(0, sensitivity.fixed(num_chunks, chunking.sensitivity_percentage))


class BudgetBounds:
    """What ``sensitivity_budget_mb`` leaves for each message, as the coordinator shares it out.

    What one message leaves unused falls to those after it, so a message's share never gets smaller, and after r of R
    rounds at most r / R of the total are spent.
    """

    def __init__(self, messages: Messages, rounds: int, clients: int) -> None:
        """For ``clients`` in each of ``rounds``. Raises ConfigError where even messages without chunks cost more."""
        self._budget = Budget(messages.settings, messages.layout, messages.spec, messages.method.packing.codec)
        budget_mb = messages.chunking.sensitivity_budget_mb
        assert budget_mb is not None, "made for settings that have a budget"
        self._messages = messages
        self._capacity = int(budget_mb * 1_000_000)
        self._total = budget_mb * 1_000_000 - self._budget.setup_bytes
        self._rounds = rounds
        self._clients = clients

    def limit(self, chunks: Bounds, round_index: int, spent: Bounds) -> Bounds:
        """``chunks``, as far as they are affordable after ``spent`` bytes in the rounds before, without any setup."""
        even = math.ceil(self._total * (round_index - 1) / self._rounds)
        return Bounds(
            min(chunks.low, self._affordable(round_index, min(spent.high, even))),
            min(chunks.high, self._affordable(round_index, spent.low)),
        )

    def cap(self, uplink: Bounds) -> Bounds:
        """The uplink of the whole run."""
        return uplink.at_most(self._capacity)

    def _share(self, round_index: int, spent: int) -> int:
        return even_share(self._total - spent, self._rounds - round_index + 1, self._clients)

    def _affordable(self, round_index: int, spent: int) -> int:
        messages, share = self._messages, self._share(round_index, spent)
        if asks_for_scores(messages.chunking, round_index):
            share -= messages.scores
        chunks = self._budget.chunks(share)
        assert chunks is not None, "a share of bytes was given"
        return chunks
