"""What a comparison of runs comes to: frozen values that print as a table and convert to Arrow."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from fedchunk.analysis.intervals import Interval
from fedchunk.analysis.run_curve import RunCurve
from fedchunk.analysis.text import bytes_text, table_text, time_text

Axis = Literal["bytes", "time"]
"""What accuracy is held against."""


@dataclass(frozen=True, eq=False)
class Group:
    """Runs of equal settings that differ in the seed. Bytes and seconds are means over seeds."""

    label: str
    """Names the settings that tell this group from the others."""
    settings: Mapping[str, Any]
    """All settings in which the groups differ, with this group's values."""
    dense: bool
    """Whether clients always send the whole model."""
    runs: tuple[RunCurve, ...]
    target: float
    on_front: bool
    """Whether no other group is as accurate with as few bytes (or in as little time), and better in one of them."""

    @cached_property
    def accuracy(self) -> Interval:
        """Of the final accuracies."""
        return Interval.of([run.final_accuracy for run in self.runs])

    @property
    def mean_seconds(self) -> float:
        """Mean over seeds."""
        return float(np.mean([run.seconds for run in self.runs]))

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

    @cached_property
    def seconds_reached(self) -> tuple[float, ...]:
        """Seconds at which a seed reached the target, for each that did."""
        found = (run.seconds_to(self.target) for run in self.runs)
        return tuple(seconds for seconds in found if seconds is not None)

    @property
    def seconds_to_target(self) -> float | None:
        """As :attr:`bytes_to_target`."""
        return float(np.mean(self.seconds_reached)) if len(self.reached) == len(self.runs) else None

    @property
    def to_target_text(self) -> str:
        """The bytes to the target in words; "not reached" is said."""
        return self._not_reached if self.bytes_to_target is None else bytes_text(self.bytes_to_target)

    @property
    def time_to_target_text(self) -> str:
        """The time to the target in words."""
        return self._not_reached if self.seconds_to_target is None else time_text(self.seconds_to_target)

    @property
    def _not_reached(self) -> str:
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
            "seconds": self.mean_seconds,
            "seconds_to_target": self.seconds_to_target,
            "on_front": self.on_front,
            "full_exchange": self.dense,
            "settings": json.dumps(dict(self.settings)),
        }


ROW = {
    "label": pa.string(), "seeds": pa.int32(), "accuracy": pa.float64(), "accuracy_half_width": pa.float64(),
    "uplink_bytes": pa.float64(), "downlink_bytes": pa.float64(), "total_bytes": pa.float64(),
    "share_of_full_exchange": pa.float64(), "seeds_that_reached": pa.int32(), "bytes_to_target": pa.float64(),
    "seconds": pa.float64(), "seconds_to_target": pa.float64(),
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
    axis: Axis = "bytes"
    """What the front is about."""
    links: str | None = None
    """The links that seconds are counted over; None: they are those of the machines that the runs ran on."""

    @property
    def shows_time(self) -> bool:
        """Whether time is worth a column: it was asked for."""
        return self.axis == "time" or self.links is not None

    @property
    def time_source(self) -> str:
        """Where seconds come from, in words."""
        return "as measured where the runs ran" if self.links is None else f"over the links {self.links}"

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON's types."""
        rows = [{**group.row(), "settings": dict(group.settings)} for group in self.groups]
        return {
            "target": self.target, "target_source": self.target_source, "axis": self.axis, "links": self.links,
            "groups": rows, "notes": list(self.notes),
        }  # fmt: skip

    def to_arrow(self) -> pa.Table:
        """A row per group; bytes are means over seeds, ``settings`` is JSON."""
        return pa.Table.from_pylist([group.row() for group in self.groups], schema=pa.schema(list(ROW.items())))

    def runs_to_arrow(self) -> pa.Table:
        """A row per run."""
        rows = []
        for label, run in ((group.label, run) for group in self.groups for run in group.runs):
            at = run.reaches(self.target)
            row: dict[str, Any] = {"label": label, "run": str(run.path), "random_seed": run.seed, "status": run.status}
            totals = {"uplink_bytes": run.uplink_bytes, "downlink_bytes": run.downlink_bytes}
            reached = {"target_round": at[0] if at else None, "bytes_to_target": at[1] if at else None}
            times = {"seconds": run.seconds, "seconds_to_target": run.seconds_to(self.target)}
            rows.append(row | {"accuracy": run.final_accuracy} | totals | reached | times)
        kinds = dict.fromkeys(("label", "run", "status"), pa.string())
        kinds |= dict.fromkeys(("accuracy", "seconds", "seconds_to_target"), pa.float64())
        return pa.Table.from_pylist(rows, schema=pa.schema([(name, kinds.get(name, pa.int64())) for name in rows[0]]))

    def curves_to_arrow(self) -> pa.Table:
        """A row per group and round that all its seeds evaluated: accuracy over seeds; mean MB and hours so far."""
        return pa.concat_tables([_curve(group) for group in self.groups])

    def __str__(self) -> str:
        lines = [
            table_text(self.headers, [self.cells(group) for group in self.groups]),
            "",
            f"target {100 * self.target:.2f} %: {self.target_source}",
            *([f"time: {self.time_source}"] if self.shows_time else []),
            *self.notes,
        ]
        return "\n".join(lines)

    @property
    def headers(self) -> tuple[str, ...]:
        """Of the table for people."""
        time = ("time", "time to target") if self.shows_time else ()
        return (
            "settings", "seeds", "accuracy %", "up", "down", "both", "of full exchange", "to target", *time,
            "Pareto front",
        )  # fmt: skip

    def cells(self, group: Group) -> tuple[str, ...]:
        """A group's row for people, under :attr:`headers`."""
        half = group.accuracy.half_width
        time = (time_text(group.mean_seconds), group.time_to_target_text) if self.shows_time else ()
        return (
            group.label,
            str(len(group.runs)),
            f"{100 * group.accuracy.mean:.2f}" + ("" if half is None else f" \u00b1 {100 * half:.2f}"),
            *(bytes_text(group.mean_bytes(name)) for name in ("uplink_bytes", "downlink_bytes", "total_bytes")),
            f"{100 * group.share:.3g} %",
            group.to_target_text,
            *time,
            "yes" if group.on_front else "-",
        )


def _curve(group: Group) -> pa.Table:
    common = group.runs[0].rounds_E
    for run in group.runs[1:]:
        common = np.intersect1d(common, run.rounds_E)
    rows = [np.searchsorted(run.rounds_E, common) for run in group.runs]
    pairs = list(zip(group.runs, rows, strict=True))
    accuracy = np.stack([run.accuracy_E[own] for run, own in pairs])
    up, down, seconds = (
        np.mean([getattr(run, name)[own] for run, own in pairs], axis=0)
        for name in ("uplink_E", "downlink_E", "seconds_E")
    )
    return pa.table(
        {
            "label": pa.array([group.label] * len(common), pa.string()),
            "round": pa.array(common, pa.int32()),
            "accuracy": accuracy.mean(axis=0),
            "accuracy_min": accuracy.min(axis=0),
            "accuracy_max": accuracy.max(axis=0),
            "uplink_mb": up / 1e6,
            "downlink_mb": down / 1e6,
            "total_mb": (up + down) / 1e6,
            "hours": seconds / 3600,
        }
    )
