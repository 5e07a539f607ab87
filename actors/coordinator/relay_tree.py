"""Peers of which one, the root, plays the coordinator of a star: messages go to it and from it along a tree.

The rounds are a star's, so the bits are; what this adds is who the root is, and what each hop costs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from fedchunk.actors.coordinator.hops import MessageLedger, bill_hops
from fedchunk.actors.coordinator.ledger import Ledger
from fedchunk.actors.coordinator.round_tables import PlayedRound
from fedchunk.actors.coordinator.star import Coordinator
from fedchunk.orchestrator.contract.messages import InitialModel, ModelState
from fedchunk.orchestrator.contract.ports import ClientGroup, Handle
from fedchunk.orchestrator.core.errors import PeersApart
from fedchunk.orchestrator.methods.exchange_rules.relay_tree import handed_over
from fedchunk.orchestrator.methods.method import dense_bytes_of_peers
from fedchunk.orchestrator.methods.relaying import Edge, Tree, best_root, nearest_way, parts
from fedchunk.orchestrator.methods.topology import Topology
from fedchunk.orchestrator.settings.whole import Settings

Progress = Callable[[int, int], None]


class RelayTreeCoordinator:
    """Runs rounds of a star over a group of client actors, and bills them along a tree of peers."""

    def __init__(
        self,
        settings: Settings,
        group: ClientGroup,
        initial: InitialModel,
        samples_per_client: tuple[int, ...],
        topology: Topology,
        test_parts: tuple[slice, ...],
    ) -> None:
        self._star = Coordinator(settings, group, initial, samples_per_client, test_parts, MessageLedger)
        self._topology = topology
        self._spec = initial.spec
        self._everybody = frozenset(range(topology.num_clients))
        self._root = best_root(topology, self._everybody)
        self._model = self._star.model

    @property
    def model(self) -> ModelState:
        """The root's model after the last round that ended."""
        return self._model

    def model_now(self) -> Callable[[], ModelState]:
        """Gives that model, also when there is another."""
        model = self._model
        return lambda: model

    def saved(self) -> tuple[dict[str, Any], list[Handle]]:
        """All that later rounds need, see :meth:`Coordinator.saved`."""
        values, objects = self._star.saved()
        return {**values, "root": self._root}, objects

    def restore(self, saved: Mapping[str, Any], objects: Sequence[Handle]) -> None:
        """What :meth:`saved` gave, of a coordinator of the same settings."""
        self._star.restore(saved, objects)
        self._root, self._model = saved["root"], self._star.model

    def play(self, round_index: int, progress: Progress) -> PlayedRound:
        """One round, from 1.

        Raises:
            RoundFailed: too few peers finished.
            PeersApart: those that did cannot reach each other.
        """
        before = self._star.global_model
        newcomers = frozenset(client for client in self._everybody if not self._star.stands(client))
        played = self._star.play(round_index, progress)
        present = self._everybody - played.facts.failed.keys()
        apart = parts(self._topology, present)
        if len(apart) > 1:
            raise PeersApart(round_index, apart, played.facts.failed)
        ledger = Ledger(round_index)
        handed: Sequence[Edge] = ()
        if self._root not in present:
            root = best_root(self._topology, present)
            handed = nearest_way(self._topology, root, [self._root])
            told = handed_over(before, self._root).over(stands=root not in newcomers)
            bill_hops(ledger, [(handed, told.sizes)])
            self._root = root
        assert isinstance(played.ledger, MessageLedger)
        bill_hops(ledger, played.ledger.along(Tree.of(self._topology, self._root, present), handed))
        self._model = self._star.model
        distance = 0.0 if played.facts.evaluated.scores else None
        dense = dense_bytes_of_peers(self._spec, self._topology, newcomers)
        facts = replace(played.facts, dense_bytes_each_way=dense, consensus_distance=distance)
        return replace(played, facts=facts, ledger=ledger)
