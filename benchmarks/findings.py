"""Three questions that recorded runs can answer.

    importance   does choosing by importance beat choosing at random at the same encoded bytes, and where does it stop?
    masks        do the choices alone, which messages show to whoever carries them, tell what a client's labels are?
    average      how much of what gossip loses is only the mean of all models at the end?

Runs are those of accuracy_per_byte.py and a few of its kind, kept in the same folder.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

import byte_peers
import pyarrow.parquet as pq
from accuracy_per_byte import RESULTS, RUNS
from byte_grid import point_of
from byte_points import BASELINE, Point, Value
from byte_report import points_of
from byte_results import Estimate, PointResult, read_runs, summarise
from byte_runs import folder_of, is_finished, run_all, wanted_settings
from byte_star import contributors, feedback
from mask_labels import Told, told

PAIRS = (
    ("feedback_10_percent", "random_feedback_10_percent"),
    ("feedback_2_5_percent", "random_feedback_2_5_percent"),
    ("feedback_1_percent", "random_feedback_1_percent"),
    ("feedback_0_5_percent", "random_feedback_0_5_percent"),
    ("feedback_0_1_percent", "random_feedback_0_1_percent"),
)
"""By importance, and at random with everything else the same."""
SHORT: dict[str, Value] = {"federated_learning_rounds": 40, "record_chunks": "full"}
MASKS = (
    Point("masks_accumulated", "finding", "`accumulated`, error feedback, 8.5 %", feedback(8.5, 8.5) | SHORT),
    Point("masks_gradient", "finding", "`gradient`, contributors, 10 %", contributors("gradient", 10) | SHORT),
    Point(
        "masks_random", "finding", "`random`, error feedback, 8.5 %", feedback(8.5, 8.5, chunk_score="random") | SHORT
    ),
)


def main() -> int:
    """Runs what is missing and prints a table for each question; 1 if a run failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="*", metavar="PATTERN", help="of the runs those of points with such names")
    parser.add_argument("--report-only", action="store_true", help="run nothing")
    parser.add_argument("--at-once", type=int, default=os.cpu_count() or 1, help="runs at a time (default: cores)")
    parser.add_argument("--runs", type=Path, default=RUNS, help="folder of the runs (default: that of the grid)")
    asked = parser.parse_args()
    failures = [] if asked.report_only else run_all(asked.runs, wanted(asked.only), None, asked.at_once)
    results = summarise(read_runs(asked.runs, None, pq.read_table(RESULTS / "accuracy_per_byte.parquet")))
    print("\n\n".join([importance(results), masks(asked.runs), average(results)]))
    for failure in failures:
        print(failure, file=sys.stderr)
    return 1 if failures else 0


def wanted(pattern: str = "*") -> list[tuple[Point, int]]:
    """The runs that the answers need, of the points whose names match."""
    names = [BASELINE, *(name for pair in PAIRS for name in pair), byte_peers.GOSSIP, byte_peers.AVERAGED]
    points = [point for name in dict.fromkeys(names) if (point := point_of(name)) is not None]
    return [(point, seed) for point in (*MASKS, *points) if fnmatch(point.name, pattern) for seed in point.seeds]


def importance(results: dict[str, PointResult]) -> str:
    """Accuracy by importance and at random, and their difference."""
    lines = ["| bytes | by importance, % | at random, % | difference |", "|---|---|---|---|"]
    for ours, random in PAIRS:
        if ours in results and random in results:
            one, other = results[ours], results[random]
            shares = f"{100 * one.share:.3g} %, {100 * other.share:.3g} %"
            lines.append(f"| {shares} | {_of(one)} | {_of(other)} | {points_of(one.difference(other))} |")
    return "\n".join(lines)


def masks(runs: Path) -> str:
    """What choices tell of labels, over the seeds."""
    lines = [
        "| choice | correlation of distances | p of it, largest | error of the labels told | without masks |",
        "|---|---|---|---|---|",
    ]
    for point in MASKS:
        found = [
            told(folder)
            for seed in point.seeds
            if is_finished(folder := folder_of(runs, point, seed), wanted_settings(point, seed, None))
        ]
        if found:
            lines.append(f"| {point.label} | {_told(found)} |")
    return "\n".join(lines)


def _told(found: Sequence[Told]) -> str:
    means = [Estimate.of([getattr(one, name) for one in found]) for name in ("correlation", "error", "without")]
    correlation, error, without = (f"{mean.mean:.2f} ± {mean.half:.2f}" for mean in means)
    return f"{correlation} | {max(one.p for one in found):.3f} | {error} | {without}"


def average(results: dict[str, PointResult]) -> str:
    """Gossip with and without a mean at the end, against a star."""
    lines = ["| full exchange | accuracy, % | difference to gossip |", "|---|---|---|"]
    gossip = results.get(byte_peers.GOSSIP)
    for name in (byte_peers.GOSSIP, byte_peers.AVERAGED, BASELINE):
        if name in results:
            difference = "" if name == byte_peers.GOSSIP else points_of(results[name].difference(gossip))
            lines.append(f"| {results[name].label} | {_of(results[name])} | {difference} |")
    return "\n".join(lines)


def _of(result: PointResult) -> str:
    return f"{result.accuracy.mean:.2f} ± {result.accuracy.half:.2f} ({len(result.seeds)})"


if __name__ == "__main__":
    sys.exit(main())
