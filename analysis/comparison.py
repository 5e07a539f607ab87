"""What a comparison of runs comes to: frozen values that print as a table and convert to Arrow."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fedchunk.analysis.intervals import Interval
from fedchunk.analysis.text import bytes_text, table_text

WINDOW = 5
"""Evaluated rounds of a running mean: one lucky round reaches no target."""


@dataclass(frozen=True, eq=False)
class RunCurve:
    """A run's accuracy beside the bytes spent until then. Letters: E evaluated rounds."""

    path: Path
    seed: int | None
    status: str
    rounds_E: NDArray[np.int64]
    accuracy_E: NDArray[np.float64]
    """Of the coordinator's model; of peers without one the mean of the clients' own models."""
    uplink_E: NDArray[np.int64]
    """Bytes that clients sent in all rounds up to this one."""
    downlink_E: NDArray[np.int64]
    uplink_bytes: int
    """In all rounds, also those after the last evaluation."""
    downlink_bytes: int
    dense_bytes: int
    """What full exchange would have cost, both directions."""
    averaged: bool = False
    """Whether the last round is of another kind: peers' models apart until then, their exact mean in it."""

    @property
    def total_bytes(self) -> int:
        """Both directions, all rounds."""
        return self.uplink_bytes + self.downlink_bytes

    @property
    def final_accuracy(self) -> float:
        """Mean of the last :data:`WINDOW` evaluated rounds, or of all if there are fewer; that of a final average."""
        return float(self.accuracy_E[-1 if self.averaged else -WINDOW :].mean())

    def reaches(self, target: float) -> tuple[int, int] | None:
        """Round and bytes (both directions) at which a running mean first is ``target`` or more; None if never.

        The mean is over :data:`WINDOW` evaluated rounds, or over all of a run that has fewer. After a final average the
        last round counts alone.
        """
        alike_E = self.accuracy_E[: len(self.accuracy_E) - self.averaged]
        window = min(WINDOW, len(alike_E))
        means = np.lib.stride_tricks.sliding_window_view(alike_E, window).mean(axis=1) if window else alike_E
        there = [*(np.flatnonzero(means >= target) + window - 1)]
        if self.averaged and self.accuracy_E[-1] >= target:
            there.append(len(alike_E))
        if not there:
            return None
        at = int(there[0])
        return int(self.rounds_E[at]), int(self.uplink_E[at] + self.downlink_E[at])


@dataclass(frozen=True, eq=False)
class Group:
    """Runs of equal settings that differ in the seed. Bytes are means over seeds."""

    label: str
    """Names the settings that tell this group from the others."""
    settings: Mapping[str, Any]
    """All settings in which the groups differ, with this group's values."""
    dense: bool
    """Whether clients always send the whole model."""
    runs: tuple[RunCurve, ...]
    target: float
    on_front: bool
    """Whether no other group is as accurate with as few bytes, and better in one of them."""

    @cached_property
    def accuracy(self) -> Interval:
        """Of the final accuracies."""
        return Interval.of([run.final_accuracy for run in self.runs])

    def mean_bytes(self, name: str) -> float:
        """Mean over seeds of ``uplink_bytes``, ``downlink_bytes``, ``total_bytes`` or ``dense_bytes``."""
        return float(np.mean([getattr(run, name) for run in self.runs]))

    @property
    def share(self) -> float:
        """Bytes of both directions, as a share of what full exchange would have cost."""
        return self.mean_bytes("total_bytes") / self.mean_bytes("dense_bytes")

    @cached_property
    def reached(self) -> tuple[tuple[int, int], ...]:
        """Round and bytes at which a seed reached the target, for each that did."""
        return tuple(at for run in self.runs if (at := run.reaches(self.target)))

    @property
    def bytes_to_target(self) -> float | None:
        """Mean over seeds; None if not all of them reached it, because a mean of the lucky ones would flatter."""
        return float(np.mean([at[1] for at in self.reached])) if len(self.reached) == len(self.runs) else None

    @property
    def to_target_text(self) -> str:
        """The bytes to the target in words; "not reached" is said."""
        if self.bytes_to_target is not None:
            return bytes_text(self.bytes_to_target)
        return f"not reached ({len(self.reached)} of {len(self.runs)} did)" if self.reached else "not reached"

    def row(self) -> dict[str, Any]:
        """The group's figures by name."""
        return {
            "label": self.label,
            "seeds": len(self.runs),
            "accuracy": self.accuracy.mean,
            "accuracy_half_width": self.accuracy.half_width,
            **{name: self.mean_bytes(name) for name in ("uplink_bytes", "downlink_bytes", "total_bytes")},
            "share_of_full_exchange": self.share,
            "seeds_that_reached": len(self.reached),
            "bytes_to_target": self.bytes_to_target,
            "on_front": self.on_front,
            "full_exchange": self.dense,
            "settings": json.dumps(dict(self.settings)),
        }


ROW = {
    "label": pa.string(), "seeds": pa.int32(), "accuracy": pa.float64(), "accuracy_half_width": pa.float64(),
    "uplink_bytes": pa.float64(), "downlink_bytes": pa.float64(), "total_bytes": pa.float64(),
    "share_of_full_exchange": pa.float64(), "seeds_that_reached": pa.int32(), "bytes_to_target": pa.float64(),
    "on_front": pa.bool_(), "full_exchange": pa.bool_(), "settings": pa.string(),
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Comparison:
    """Groups of runs, side by side."""

    target: float
    """The accuracy to reach, 0 to 1."""
    target_source: str
    """Where the target comes from."""
    groups: tuple[Group, ...]
    """Most accurate first."""
    notes: tuple[str, ...]
    """What a reader must know: runs that ended early, runs that count once."""

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON's types."""
        rows = [{**group.row(), "settings": dict(group.settings)} for group in self.groups]
        return {
            "target": self.target, "target_source": self.target_source, "groups": rows, "notes": list(self.notes),
        }  # fmt: skip

    def to_arrow(self) -> pa.Table:
        """A row per group; bytes are means over seeds, ``settings`` is JSON."""
        return pa.Table.from_pylist([group.row() for group in self.groups], schema=pa.schema(list(ROW.items())))

    def runs_to_arrow(self) -> pa.Table:
        """A row per run."""
        rows = []
        for label, run in ((group.label, run) for group in self.groups for run in group.runs):
            at = run.reaches(self.target)
            named = {"label": label, "run": str(run.path), "random_seed": run.seed, "status": run.status}
            totals = {"uplink_bytes": run.uplink_bytes, "downlink_bytes": run.downlink_bytes}
            reached = {"target_round": at[0] if at else None, "bytes_to_target": at[1] if at else None}
            rows.append(named | {"accuracy": run.final_accuracy} | totals | reached)
        kinds = dict.fromkeys(("label", "run", "status"), pa.string()) | {"accuracy": pa.float64()}
        return pa.Table.from_pylist(rows, schema=pa.schema([(name, kinds.get(name, pa.int64())) for name in rows[0]]))

    def curves_to_arrow(self) -> pa.Table:
        """A row per group and round that all its seeds evaluated: accuracy over seeds, and mean megabytes so far."""
        return pa.concat_tables([_curve(group) for group in self.groups])

    def __str__(self) -> str:
        shown = [HEADERS, *(cells(group) for group in self.groups)]
        lines = [
            table_text(shown[0], shown[1:]),
            "",
            f"target {100 * self.target:.2f} %: {self.target_source}",
            *self.notes,
        ]
        return "\n".join(lines)


def _curve(group: Group) -> pa.Table:
    common = group.runs[0].rounds_E
    for run in group.runs[1:]:
        common = np.intersect1d(common, run.rounds_E)
    rows = [np.searchsorted(run.rounds_E, common) for run in group.runs]
    pairs = list(zip(group.runs, rows, strict=True))
    accuracy = np.stack([run.accuracy_E[own] for run, own in pairs])
    up, down = (
        np.mean([getattr(run, name)[own] for run, own in pairs], axis=0) / 1e6 for name in ("uplink_E", "downlink_E")
    )
    return pa.table(
        {
            "label": pa.array([group.label] * len(common), pa.string()),
            "round": pa.array(common, pa.int32()),
            "accuracy": accuracy.mean(axis=0),
            "accuracy_min": accuracy.min(axis=0),
            "accuracy_max": accuracy.max(axis=0),
            "uplink_mb": up,
            "downlink_mb": down,
            "total_mb": up + down,
        }
    )


HEADERS = ("settings", "seeds", "accuracy %", "up", "down", "both", "of full exchange", "to target", "Pareto front")


def cells(group: Group) -> tuple[str, ...]:
    """A group's row for people, under :data:`HEADERS`."""
    half = group.accuracy.half_width
    return (
        group.label,
        str(len(group.runs)),
        f"{100 * group.accuracy.mean:.2f}" + ("" if half is None else f" \u00b1 {100 * half:.2f}"),
        *(bytes_text(group.mean_bytes(name)) for name in ("uplink_bytes", "downlink_bytes", "total_bytes")),
        f"{100 * group.share:.3g} %",
        group.to_target_text,
        "yes" if group.on_front else "-",
    )
