"""How a run did, by accuracy or what else is compared, beside what had been spent until then: bytes, and time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedchunk.analysis.judged import measured
from fedchunk.analysis.link_rounds import link_times
from fedchunk.analysis.load import Run
from fedchunk.orchestrator.core.links import Links
from fedchunk.orchestrator.core.target import ACCURACY, Target

WINDOW = 5
"""Evaluated rounds of a running mean: one lucky round reaches no target."""


@dataclass(frozen=True, eq=False)
class RunCurve:
    """The values of a metric beside the bytes spent until then. Letters: E evaluated rounds."""

    path: Path
    seed: int | None
    status: str
    rounds_E: NDArray[np.int64]
    value_E: NDArray[np.float64]
    """Of the coordinator's model; of peers without one the mean of the clients' own models."""
    uplink_E: NDArray[np.int64]
    """Bytes that clients sent in all rounds up to this one."""
    downlink_E: NDArray[np.int64]
    uplink_bytes: int
    """In all rounds, also those after the last evaluation."""
    downlink_bytes: int
    dense_bytes: int
    """What full exchange would have cost, both directions."""
    seconds_E: NDArray[np.float64]
    """Seconds of all rounds up to this one: measured, or over links."""
    seconds: float
    """Of all rounds."""
    averaged: bool = False
    """Whether the last round is of another kind: peers' models apart until then, their exact mean in it."""
    metric: Target = ACCURACY
    """What the values are of."""

    @property
    def total_bytes(self) -> int:
        """Both directions, all rounds."""
        return self.uplink_bytes + self.downlink_bytes

    @property
    def final_value(self) -> float:
        """Mean of the last :data:`WINDOW` evaluated rounds, or of all if there are fewer; that of a final average."""
        return float(self.value_E[-1 if self.averaged else -WINDOW :].mean())

    def reaches(self, target: float) -> tuple[int, int] | None:
        """Round and bytes (both directions) at which a running mean first is ``target`` or better; None if never.

        The mean is over :data:`WINDOW` evaluated rounds, or over all of a run that has fewer. After a final average the
        last round counts alone.
        """
        at = self._reached_at(target)
        return None if at is None else (int(self.rounds_E[at]), int(self.uplink_E[at] + self.downlink_E[at]))

    def seconds_to(self, target: float) -> float | None:
        """The same in seconds."""
        at = self._reached_at(target)
        return None if at is None else float(self.seconds_E[at])

    def _reached_at(self, target: float) -> int | None:
        gain_E, goal = (-self.value_E, -target) if self.metric.lower else (self.value_E, target)
        alike_E = gain_E[: len(gain_E) - self.averaged]
        window = min(WINDOW, len(alike_E))
        means = np.lib.stride_tricks.sliding_window_view(alike_E, window).mean(axis=1) if window else alike_E
        there = [*(np.flatnonzero(means >= goal) + window - 1)]
        if self.averaged and gain_E[-1] >= goal:
            there.append(len(alike_E))
        return int(there[0]) if there else None


def run_curve(run: Run, links: Links | None = None, metric: Target = ACCURACY) -> RunCurve:
    """The values of ``metric``, bytes and seconds of a run: over ``links``, or as they were measured.

    Raises:
        RecordsError: it was measured in no round, or a table cannot be read.
        ConfigError: the links lack a client.
    """
    rounds = run.rounds
    rounds_E, value_E = measured(run, metric.metric)
    evaluated = np.isin(rounds["round"].to_numpy(), rounds_E)
    up, down, dense = (
        np.cumsum(rounds[column].to_numpy()) for column in ("uplink_bytes", "downlink_bytes", "dense_bytes")
    )
    seconds = np.cumsum(rounds["wall_s"].to_numpy() if links is None else link_times(run, links).seconds_R)
    return RunCurve(
        path=run.path,
        seed=run.config.get("random_seed"),
        status=run.status,
        rounds_E=rounds_E,
        value_E=value_E,
        uplink_E=up[evaluated],
        downlink_E=down[evaluated],
        uplink_bytes=int(up[-1]),
        downlink_bytes=int(down[-1]),
        dense_bytes=int(dense[-1]),
        seconds_E=seconds[evaluated],
        seconds=float(seconds[-1]),
        averaged=bool(run.config.get("final_average")) and run.status == "finished",
        metric=metric,
    )
