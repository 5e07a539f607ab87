"""What clients say beside their payloads: research telemetry. What is billed is in the payload."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


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


@dataclass(frozen=True)
class ReportRows:
    """Reports whose arrays are rows of few arrays: a hundred small ones would cost more to send than to make."""

    plain: tuple[ClientReport, ...]
    """The reports, without arrays."""
    scores_GC: NDArray[np.float32]
    distances_GC: NDArray[np.float32] | None
    selected_GC: NDArray[np.bool_]
    age_GC: NDArray[np.int32]

    @classmethod
    def of(cls, reports: Sequence[ClientReport]) -> ReportRows:
        """Stacks the arrays of one report or more."""
        distances = [report.distances_C for report in reports if report.distances_C is not None]
        return cls(
            tuple(_with_arrays(report, _NO_FLOATS, None, _NO_FLAGS, _NO_COUNTS) for report in reports),
            np.stack([report.scores_C for report in reports]),
            np.stack(distances) if distances else None,
            np.stack([report.selected_C for report in reports]),
            np.stack([report.age_C for report in reports]),
        )

    def rows(self) -> list[ClientReport]:
        """The reports as they were; their arrays are views."""
        distances = self.distances_GC if self.distances_GC is not None else [None] * len(self.plain)
        arrays = zip(self.scores_GC, distances, self.selected_GC, self.age_GC, strict=True)
        return [_with_arrays(report, *of_client) for report, of_client in zip(self.plain, arrays, strict=True)]


def _with_arrays(
    report: ClientReport,
    scores_C: NDArray[np.float32],
    distances_C: NDArray[np.float32] | None,
    selected_C: NDArray[np.bool_],
    age_C: NDArray[np.int32],
) -> ClientReport:
    """As ``dataclasses.replace``, which takes three times as long: this happens to every client of a round."""
    return ClientReport(
        report.round_index,
        report.client_id,
        report.num_samples,
        report.train_loss,
        report.chunks_sent,
        report.sensitivity_percentage,
        report.sensitivity_reason,
        report.residual_norm,
        scores_C,
        distances_C,
        selected_C,
        age_C,
        report.train_s,
        report.training,
    )


_NO_FLOATS, _NO_FLAGS, _NO_COUNTS = np.empty(0, np.float32), np.empty(0, np.bool_), np.empty(0, np.int32)
