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
from fedchunk.orchestrator.core.target import ACCURACY, Target

Axis = Literal["bytes", "time"]
"""What accuracy, or another metric, is held against."""


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
    """Whether no other group is as good with as few bytes (or in as little time), and better in one of them."""

    @cached_property
    def value(self) -> Interval:
        """Of the final values of what is compared."""
        return Interval.of([run.final_value for run in self.runs])

    @property
    def metric(self) -> str:
        """What is compared."""
        return self.runs[0].metric.metric

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
            self.metric: self.value.mean,
            f"{self.metric}_half_width": self.value.half_width,
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
    "uplink_bytes": pa.float64(), "downlink_bytes": pa.float64(), "total_bytes": pa.float64(),
    "share_of_full_exchange": pa.float64(), "seeds_that_reached": pa.int32(), "bytes_to_target": pa.float64(),
    "seconds": pa.float64(), "seconds_to_target": pa.float64(),
    "on_front": pa.bool_(), "full_exchange": pa.bool_(), "settings": pa.string(),
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Comparison:
    """Groups of runs, side by side."""

    target: float
    """The accuracy to reach, 0 to 1, or the value of another metric."""
    target_source: str
    """Where the target comes from."""
    groups: tuple[Group, ...]
    """The best first."""
    notes: tuple[str, ...]
    """What a reader must know: runs that ended early, runs that count once."""
    axis: Axis = "bytes"
    """What the front is about."""
    links: str | None = None
    """The links that seconds are counted over; None: they are those of the machines that the runs ran on."""
    metric: Target = ACCURACY
    """What is compared."""

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
            "metric": self.metric.recorded(),
            "target": self.target, "target_source": self.target_source, "axis": self.axis, "links": self.links,
            "groups": rows, "notes": list(self.notes),
        }  # fmt: skip

    def to_arrow(self) -> pa.Table:
        """A row per group; bytes are means over seeds, ``settings`` is JSON."""
        name = self.metric.metric
        first = {"label": pa.string(), "seeds": pa.int32(), name: pa.float64(), f"{name}_half_width": pa.float64()}
        schema = pa.schema(list((first | ROW).items()))
        return pa.Table.from_pylist([group.row() for group in self.groups], schema=schema)

    def runs_to_arrow(self) -> pa.Table:
        """A row per run."""
        rows = []
        for label, run in ((group.label, run) for group in self.groups for run in group.runs):
            at = run.reaches(self.target)
            row: dict[str, Any] = {"label": label, "run": str(run.path), "random_seed": run.seed, "status": run.status}
            totals = {"uplink_bytes": run.uplink_bytes, "downlink_bytes": run.downlink_bytes}
            reached = {"target_round": at[0] if at else None, "bytes_to_target": at[1] if at else None}
            times = {"seconds": run.seconds, "seconds_to_target": run.seconds_to(self.target)}
            rows.append(row | {self.metric.metric: run.final_value} | totals | reached | times)
        kinds = dict.fromkeys(("label", "run", "status"), pa.string())
        kinds |= dict.fromkeys((self.metric.metric, "seconds", "seconds_to_target"), pa.float64())
        return pa.Table.from_pylist(rows, schema=pa.schema([(name, kinds.get(name, pa.int64())) for name in rows[0]]))

    def curves_to_arrow(self) -> pa.Table:
        """A row per group and round that all its seeds evaluated: the metric over seeds; mean MB and hours so far."""
        return pa.concat_tables([_curve(group) for group in self.groups])

    def __str__(self) -> str:
        lines = [
            table_text(self.headers, [self.cells(group) for group in self.groups]),
            "",
            f"target {self.target_text}: {self.target_source}",
            *([f"time: {self.time_source}"] if self.shows_time else []),
            *self.notes,
        ]
        return "\n".join(lines)

    @property
    def target_text(self) -> str:
        """The target in words."""
        return self.metric.text(self.target, digits=2)

    @property
    def headers(self) -> tuple[str, ...]:
        """Of the table for people."""
        time = ("time", "time to target") if self.shows_time else ()
        return (
            "settings", "seeds", self._metric_header, "up", "down", "both", "of full exchange", "to target", *time,
            "Pareto front",
        )  # fmt: skip

    @property
    def _metric_header(self) -> str:
        return "accuracy %" if self.metric.metric == "accuracy" else self.metric.metric

    def cells(self, group: Group) -> tuple[str, ...]:
        """A group's row for people, under :attr:`headers`."""
        half = group.value.half_width
        parts = [group.value.mean, *([] if half is None else [half])]
        is_share = self.metric.metric == "accuracy"
        value = " \u00b1 ".join(f"{100 * part:.2f}" if is_share else f"{part:.4g}" for part in parts)
        time = (time_text(group.mean_seconds), group.time_to_target_text) if self.shows_time else ()
        return (
            group.label,
            str(len(group.runs)),
            value,
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
    values = np.stack([run.value_E[own] for run, own in pairs])
    name = group.metric
    up, down, seconds = (
        np.mean([getattr(run, name)[own] for run, own in pairs], axis=0)
        for name in ("uplink_E", "downlink_E", "seconds_E")
    )
    return pa.table(
        {
            "label": pa.array([group.label] * len(common), pa.string()),
            "round": pa.array(common, pa.int32()),
            name: values.mean(axis=0),
            f"{name}_min": values.min(axis=0),
            f"{name}_max": values.max(axis=0),
            "uplink_mb": up / 1e6,
            "downlink_mb": down / 1e6,
            "total_mb": (up + down) / 1e6,
            "hours": seconds / 3600,
        }
    )
