"""What clients say beside their payloads: research telemetry. What is billed is in the payload."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.contract.small_arrays import SmallArraysInside


@dataclass(frozen=True)
class ClientReport:
    """What a client says beside its payload. Telemetry: a real federation would not need it to work."""

    round_index: int
    client_id: int
    num_samples: int
    train_loss: float
    """Mean loss over all samples seen in this round's local training."""
    chunks_sent: int
    sensitivity_percentage: float
    """Share of chunks sent, in percent."""
    sensitivity_reason: str
    """Why so many chunks."""
    residual_norm: float | None
    """L2 norm of what it keeps back after sending; None without error feedback."""
    scores_C: NDArray[np.float32]
    distances_C: NDArray[np.float32] | None
    """Distance of each chunk between after and before local training, or None when not recorded."""
    selected_C: NDArray[np.bool_]
    age_C: NDArray[np.int32]
    """Rounds since this client last sent the chunk, before this round's choice; 0 if it was sent last round."""
    train_s: float
    """Time of its local training; clients that were trained at once share theirs evenly."""
    training: str
    """How it was trained: one by one or at once, and why."""


def percentage(selected_C: NDArray[np.bool_]) -> float:
    """The share of the chunks that are marked, in percent. ``mean`` says the same in six times the time."""
    return 100.0 * (np.count_nonzero(selected_C) / len(selected_C))


_BEFORE_ARRAYS = attrgetter(
    "round_index",
    "client_id",
    "num_samples",
    "train_loss",
    "chunks_sent",
    "sensitivity_percentage",
    "sensitivity_reason",
    "residual_norm",
)
_AFTER_ARRAYS = attrgetter("train_s", "training")


@dataclass(frozen=True)
class ReportRows(SmallArraysInside):
    """Reports by their fields: a hundred small objects, and as many small arrays, cost more to send than to make."""

    before_arrays: tuple[tuple[Any, ...], ...]
    """The first fields of all reports, field by field."""
    scores_GC: NDArray[np.float32]
    distances_GC: NDArray[np.float32] | None
    selected_GC: NDArray[np.bool_]
    age_GC: NDArray[np.int32]
    after_arrays: tuple[tuple[Any, ...], ...]
    """The last fields."""

    @classmethod
    def of(cls, reports: Sequence[ClientReport]) -> ReportRows:
        """The fields of one report or more."""
        distances = [report.distances_C for report in reports if report.distances_C is not None]
        return cls(
            tuple(zip(*map(_BEFORE_ARRAYS, reports), strict=True)),
            np.stack([report.scores_C for report in reports]),
            np.stack(distances) if distances else None,
            np.stack([report.selected_C for report in reports]),
            np.stack([report.age_C for report in reports]),
            tuple(zip(*map(_AFTER_ARRAYS, reports), strict=True)),
        )

    def rows(self) -> list[ClientReport]:
        """The reports as they were; their arrays are views."""
        distances = self.distances_GC if self.distances_GC is not None else repeat(None, len(self.scores_GC))
        arrays = self.scores_GC, distances, self.selected_GC, self.age_GC
        return list(map(ClientReport, *self.before_arrays, *arrays, *self.after_arrays))
