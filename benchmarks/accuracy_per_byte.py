"""Accuracy against bytes on Fashion-MNIST: runs the grid of byte_grid.py and writes results/accuracy_per_byte.*.

Runs go to runs/accuracy_per_byte, outside git. A run that is finished there is not run again, so the command may be
interrupted and given again. README.md beside this file says what is measured.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import pyarrow.parquet as pq
from byte_figure import draw
from byte_grid import chosen
from byte_points import BASELINE
from byte_report import page
from byte_results import read_runs, summarise
from byte_runs import run_all

HERE = Path(__file__).resolve().parent
RUNS = HERE.parent / "runs" / "accuracy_per_byte"
RESULTS = HERE / "results"


def main() -> int:
    """Runs what was asked for and writes the results; 1 if a run failed."""
    asked = _parser().parse_args()
    runs = asked.runs if asked.rounds is None else asked.runs.with_name(f"{asked.runs.name}-{asked.rounds}-rounds")
    failures: list[str] = []
    if not asked.report_only:
        points = chosen(asked.only, tuple(asked.seeds) if asked.seeds else None, trials=asked.tune)
        if not points:
            print(f"no point matches {asked.only!r}; they are named in benchmarks/byte_grid.py", file=sys.stderr)
            return 1
        failures = run_all(runs, points, asked.rounds, asked.at_once)
    # Trials with fewer rounds say nothing of the targets: their results stay beside their runs.
    write_results(runs, RESULTS if asked.rounds is None else runs, asked.rounds)
    for failure in failures:
        print(failure, file=sys.stderr)
    return 1 if failures else 0


def write_results(runs: Path, results: Path, rounds: int | None) -> None:
    """Writes table, page and picture from the finished runs, and from what the kept table has beside them."""
    stem = results / "accuracy_per_byte"
    file = stem.with_suffix(".parquet")
    table = read_runs(runs, rounds, pq.read_table(file) if file.exists() else None)
    points = summarise(table)
    if BASELINE not in points:
        print("no full exchange among the finished runs yet: nothing to compare with")
        return
    results.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, file)
    stem.with_suffix(".md").write_text(page(points), encoding="utf-8")
    draw(points, stem.with_suffix(".png"))
    print(f"{table.num_rows} runs in {stem}.md, .png and .parquet")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="*", metavar="PATTERN", help="points whose names match, such as 'random*'")
    parser.add_argument("--seeds", type=int, nargs="+", help="instead of each point's own")
    parser.add_argument("--tune", action="store_true", help="what settings were chosen by, instead of the points")
    parser.add_argument("--rounds", type=int, help="a trial with fewer rounds, kept apart")
    parser.add_argument("--report-only", action="store_true", help="run nothing, write the results again")
    parser.add_argument("--at-once", type=int, default=os.cpu_count() or 1, help="runs at a time (default: cores)")
    parser.add_argument("--runs", type=Path, default=RUNS, help="folder of the runs (default: runs/accuracy_per_byte)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
