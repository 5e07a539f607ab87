"""What the runs came to: a row per run as they are read, and a row per point over its seeds."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from byte_grid import GRID, TRIALS, baseline_of, point_of
from byte_points import Point, Target
from byte_runs import folder_of, is_finished, wanted_settings
from scipy import stats

from fedchunk.orchestrator.chunking.header import VERSION

SCHEMA = pa.schema(
    [
        ("name", pa.string()),
        ("group", pa.string()),
        ("label", pa.string()),
        ("seed", pa.int64()),
        ("rounds", pa.int64()),
        ("settings", pa.string()),  # JSON: what differs from accuracy_per_byte.yaml
        ("accuracy", pa.float64()),  # mean of the last five evaluations (gossip: the last), 0 to 1
        ("final_accuracy", pa.float64()),
        ("uplink_bytes", pa.int64()),
        ("downlink_bytes", pa.int64()),
        ("total_bytes", pa.int64()),
        ("share", pa.float64()),  # of the bytes of the full exchange
        ("weights_sha256", pa.string()),
        ("messages", pa.int64()),  # version of the messages' format; null: the first
    ]
)


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds, and half the width of its 95 % interval (Student's t; nan for one seed)."""

    mean: float
    half: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Estimate:
        """The estimate from one value per seed."""
        count = len(values)
        mean = math.fsum(values) / count
        if count == 1:
            return cls(mean, math.nan)
        variance = math.fsum((value - mean) ** 2 for value in values) / (count - 1)
        return cls(mean, float(stats.t.ppf(0.975, count - 1)) * math.sqrt(variance / count))


@dataclass(frozen=True)
class PointResult:
    """A point over its seeds. Accuracies and differences are in percent and points."""

    name: str
    group: str
    label: str
    accuracies: Mapping[int, float]
    """By seed."""
    share: float
    outdated: bool
    """Whether one of the runs had messages of an older format, so that its bytes are not today's."""

    @property
    def seeds(self) -> tuple[int, ...]:
        """In order."""
        return tuple(sorted(self.accuracies))

    @property
    def accuracy(self) -> Estimate:
        """Over the seeds."""
        return Estimate.of([self.accuracies[seed] for seed in self.seeds])

    def difference(self, other: PointResult | None) -> Estimate | None:
        """To another point, paired by seed; None where they have no seed in common."""
        pairs = (
            [] if other is None else [self.accuracies[s] - other.accuracies[s] for s in self.seeds if s in other.seeds]
        )
        return Estimate.of(pairs) if pairs else None


def read_runs(runs: Path, rounds: int | None, kept: pa.Table | None = None) -> pa.Table:
    """A row for each finished run of the grid and its trials.

    Args:
        runs: where they are.
        rounds: of all runs, for a trial with fewer; None: each point's own.
        kept: rows of before; they stay where the grid still has their point and there is no newer run.
    """
    rows = {}
    for point in (*GRID, *TRIALS):
        for row in [row for row in kept.to_pylist() if row["name"] == point.name] if kept is not None else []:
            if json.loads(row["settings"]) == dict(point.settings):
                rows[point.name, row["seed"]] = {**dict.fromkeys(SCHEMA.names), **row, **_about(point)}
        for folder in sorted((runs / point.name).glob("seed*")):
            seed = int(folder.name.removeprefix("seed"))
            wanted = wanted_settings(point, seed, rounds)
            if is_finished(folder_of(runs, point, seed), wanted):
                rows[point.name, seed] = _about(point) | {"seed": seed} | _measured(folder, point.last_evaluations)
    for (name, _), row in rows.items():
        # Full exchange costs the same bytes with any seed.
        dense = next((r["total_bytes"] for (other, _), r in rows.items() if other == baseline_of(name)), None)
        row["share"] = None if dense is None else row["total_bytes"] / dense
    return pa.Table.from_pylist(list(rows.values()), SCHEMA)


def _about(point: Point) -> dict[str, str]:
    settings = json.dumps(dict(point.settings))
    return {"name": point.name, "group": point.group, "label": point.label, "settings": settings}


def _measured(folder: Path, last_evaluations: int) -> dict[str, Any]:
    table = pq.read_table(folder / "tables" / "rounds.parquet")
    column = "client_accuracy_mean" if table["accuracy"].null_count == table.num_rows else "accuracy"
    accuracies = [value for value in table[column].to_pylist() if value is not None]
    last = accuracies[-last_evaluations:]
    up, down = sum(table["uplink_bytes"].to_pylist()), sum(table["downlink_bytes"].to_pylist())
    return {
        "rounds": table.num_rows,
        "accuracy": math.fsum(last) / len(last),
        "final_accuracy": last[-1],
        "uplink_bytes": up,
        "downlink_bytes": down,
        "total_bytes": up + down,
        "weights_sha256": json.loads((folder / "summary.json").read_text(encoding="utf-8")).get("weights_sha256"),
        "messages": VERSION,
    }


def summarise(table: pa.Table) -> dict[str, PointResult]:
    """The points and trials of a table of runs, in its order. Runs without a share are left out."""
    rows = [row for row in table.to_pylist() if row["share"] is not None]
    results = {}
    for name in dict.fromkeys(row["name"] for row in rows):
        own = [row for row in rows if row["name"] == name]
        results[name] = PointResult(
            name=name,
            group=own[0]["group"],
            label=own[0]["label"],
            accuracies={row["seed"]: 100 * row["accuracy"] for row in own},
            share=math.fsum(row["share"] for row in own) / len(own),
            outdated=any(row["messages"] != VERSION for row in own),
        )
    return results


def verdict(target: Target, results: Mapping[str, PointResult]) -> str:
    """Whether the target's candidate reached it with every seed that it is to have, or by how much it missed."""
    result, other = results.get(target.candidate), results.get(target.against)
    difference = result.difference(other) if result is not None else None
    if result is None or difference is None or other is None:
        return "not run"
    point = point_of(target.candidate)
    wanted = set(point.seeds if point is not None else other.seeds)
    missing = sorted(wanted - (set(result.seeds) & set(other.seeds)))
    if missing:
        return f"unfinished: without seed {' and '.join(map(str, missing))}"
    faults = []
    if difference.mean < -target.within:
        faults.append(f"{-difference.mean - target.within:.2f} points of accuracy")
    if target.surely is not None and difference.mean - difference.half < -target.surely:
        lowest = difference.half - difference.mean
        faults.append(f"an interval that reaches a loss of {lowest:.2f} points")
    if result.share > target.share:
        faults.append(f"{100 * (result.share - target.share):.3f} % of the bytes")
    return f"missed by {' and '.join(faults)}" if faults else "reached"
