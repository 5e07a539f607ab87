"""What the runs came to: a row per run as they are read, and a row per point over its seeds."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from byte_grid import GRID, Target, baseline_of
from byte_runs import folder_of, is_finished, wanted_settings
from scipy import stats

SCHEMA = pa.schema(
    [
        ("name", pa.string()),
        ("group", pa.string()),
        ("label", pa.string()),
        ("seed", pa.int64()),
        ("rounds", pa.int64()),
        ("settings", pa.string()),  # JSON: what differs from accuracy_per_byte.yaml
        ("accuracy", pa.float64()),  # mean of the last five evaluations (peers: the last), 0 to 1
        ("final_accuracy", pa.float64()),
        ("uplink_bytes", pa.int64()),
        ("downlink_bytes", pa.int64()),
        ("total_bytes", pa.int64()),
        ("share", pa.float64()),  # of the bytes of the full exchange with the same seed
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
    seeds: tuple[int, ...]
    accuracy: Estimate
    difference: Estimate | None
    """To full exchange, paired by seed; None where full exchange has none of the seeds."""
    share: float


def read_runs(runs: Path, rounds: int | None) -> pa.Table:
    """A row for each finished run of the grid; ``share`` is null until full exchange with that seed is there."""
    rows = []
    for point in GRID:
        for folder in sorted((runs / point.name).glob("seed*")):
            seed = int(folder.name.removeprefix("seed"))
            wanted = wanted_settings(point, seed, rounds)
            if is_finished(folder_of(runs, point, seed), wanted):
                about = {"name": point.name, "group": point.group, "label": point.label, "seed": seed}
                rows.append(
                    about | {"settings": json.dumps(dict(point.settings))} | _measured(folder, point.last_evaluations)
                )
    totals = {(row["name"], row["seed"]): row["total_bytes"] for row in rows}
    for row in rows:
        dense = totals.get((baseline_of(row["name"]), row["seed"]))
        row["share"] = None if dense is None else row["total_bytes"] / dense
    return pa.Table.from_pylist(rows, SCHEMA)


def _measured(folder: Path, last_evaluations: int) -> dict[str, float | int]:
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
    }


def summarise(table: pa.Table) -> list[PointResult]:
    """The points of a table of runs, in its order. Runs without a share are left out."""
    rows = [row for row in table.to_pylist() if row["share"] is not None]
    accuracies = {(row["name"], row["seed"]): row["accuracy"] for row in rows}
    results = []
    for name in dict.fromkeys(row["name"] for row in rows):
        own = [row for row in rows if row["name"] == name]
        dense = {row["seed"]: accuracies.get((baseline_of(name), row["seed"])) for row in own}
        pairs = [100 * (row["accuracy"] - full) for row in own if (full := dense[row["seed"]]) is not None]
        results.append(
            PointResult(
                name=name,
                group=own[0]["group"],
                label=own[0]["label"],
                seeds=tuple(sorted(row["seed"] for row in own)),
                accuracy=Estimate.of([100 * row["accuracy"] for row in own]),
                difference=Estimate.of(pairs) if pairs and name != baseline_of(name) else None,
                share=math.fsum(row["share"] for row in own) / len(own),
            )
        )
    return results


def verdict(target: Target, results: Sequence[PointResult]) -> str:
    """Whether the target's candidate reached it with every seed of full exchange, or by how much it missed."""
    by_name = {result.name: result for result in results}
    result = by_name.get(target.candidate)
    if result is None or result.difference is None:
        return "not run"
    missing = sorted(set(by_name[baseline_of(target.candidate)].seeds) - set(result.seeds))
    if missing:
        return f"unfinished: without seed {' and '.join(map(str, missing))}"
    faults = []
    if result.difference.mean < -target.within:
        faults.append(f"{-result.difference.mean - target.within:.2f} points of accuracy")
    if result.share > target.share:
        faults.append(f"{100 * (result.share - target.share):.3f} % of the bytes")
    return f"missed by {' and '.join(faults)}" if faults else "reached"
