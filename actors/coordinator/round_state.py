"""What comes together in the coordinator of a star while a round runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from fedchunk.actors.coordinator.ledger import Ledger
from fedchunk.orchestrator.chunking.aggregation import RoundSum
from fedchunk.orchestrator.contract.messages import Span
from fedchunk.orchestrator.contract.reports import ClientReport, percentage
from fedchunk.orchestrator.methods.chooser import Choice
from fedchunk.orchestrator.methods.grouping import Group


@dataclass
class RoundState:
    """One round in progress."""

    round_index: int
    cohort: tuple[int, ...]
    groups: Sequence[Group]
    ledger: Ledger
    total: RoundSum
    affordable_bytes: int | None
    """What one client may send, beside the setup of its connection; None: no budget."""
    newcomers: frozenset[int]
    """Members of the cohort that never took part before."""
    most_a_unit: float | None = None
    """The largest value that an update may have; None until one is far larger than the others."""
    agreed: Choice | None = None
    """What all clients are to send, with consensus, once it is known."""
    scores: dict[int, NDArray[np.float32]] = field(default_factory=dict)
    reports: dict[int, ClientReport] = field(default_factory=dict)
    attempts: dict[int, int] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)
    """Clients that gave no answer, and why."""
    rejected: dict[int, str] = field(default_factory=dict)
    """Clients of which a message did not pass the checks, and why."""
    largest: dict[int, float] = field(default_factory=dict)
    """Of each client whose update counts, its largest absolute value for a unit."""
    spans: list[Span] = field(default_factory=list)
    """What client actors did."""

    def note_emissions(self, clients: Iterable[int], agreed: Choice, norms: Iterable[float | None]) -> None:
        """Completes the reports of clients that were told what to send."""
        for client, residual_norm in zip(clients, norms, strict=True):
            self.reports[client] = replace(
                self.reports[client],
                selected_C=agreed.selected_C,
                chunks_sent=int(np.count_nonzero(agreed.selected_C)),
                sensitivity_percentage=percentage(agreed.selected_C),
                sensitivity_reason=agreed.reason,
                residual_norm=residual_norm,
            )

    @property
    def counted(self) -> list[int]:
        """Clients whose update counts, in order."""
        return [client for client in self.cohort if client not in self.failed and client not in self.rejected]

    @property
    def agreed_C(self) -> NDArray[np.bool_] | None:
        """The chunks that all are to send, once they are known."""
        return self.agreed.selected_C if self.agreed else None
