"""How long until the first training step? Against ``ray.init``, one import of torch in an actor, and a second.

    python benchmarks/startup.py

Measures in turns, each in fresh processes and in an empty folder: ``ray.init`` with our settings, the import of torch
in an actor, and ``fedchunk run`` of one round from the start of the command to the first training, with and without
MLflow. The bound of a repetition is made of its own two times. Writes ``benchmarks/results/startup.md``.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
CONFIG = HERE.parent / "configs" / "quickstart.yaml"
RESULT = HERE / "results" / "startup.md"
ONE_ROUND = "federated_learning_rounds=1"
ALLOWANCE_S = 1.0
"""What a start may take beside ``ray.init`` and the import of torch."""

RUNS = {"without MLflow": "mlflow_enabled=false", "with MLflow": "mlflow_enabled=true"}


@dataclass(frozen=True)
class Start:
    """When a run trained first, in seconds from the start of the command."""

    begins_s: float
    """The first call to train begins in the first actor."""
    ends_s: float
    """The first such call has ended."""


@dataclass(frozen=True)
class Repetition:
    """One of each."""

    import_s: float
    """Of ray, in the driver: no part of the bound, but of every start."""
    ray_s: float
    torch_s: float
    starts: dict[str, Start]

    @property
    def bound_s(self) -> float:
        """What the start may take."""
        return self.ray_s + self.torch_s + ALLOWANCE_S


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=7, metavar="N", help="how often everything is measured")
    arguments = parser.parse_args()
    repetitions = []
    for number in range(arguments.repetitions):
        repetitions.append(measure(backwards=number % 2 == 1))
        print(summary(repetitions[-1]), file=sys.stderr)
    page = report(repetitions)
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(page, encoding="utf-8")
    print(page)


def measure(*, backwards: bool) -> Repetition:
    """Everything once; every other time in the other order."""
    bound: dict[str, float] = {}
    starts: dict[str, Start] = {}
    for name in sorted(["bound", *RUNS], reverse=backwards):
        with tempfile.TemporaryDirectory() as folder:
            if name == "bound":
                bound = measure_bound(Path(folder))
            else:
                starts[name] = measure_start(Path(folder), RUNS[name])
    return Repetition(**bound, starts=starts)


def measure_bound(folder: Path) -> dict[str, float]:
    """``import_s``, ``ray_s`` and ``torch_s``."""
    output = python(folder, HERE / "startup_bound.py", CONFIG)
    return dict(json.loads(output.splitlines()[-1]))


def measure_start(folder: Path, override: str) -> Start:
    """A run of one round in ``folder``."""
    notes = folder / "notes"
    started = time.monotonic()
    python(folder, HERE / "startup_run.py", notes, "run", CONFIG, ONE_ROUND, override)
    times: dict[str, list[float]] = {"begins": [], "ends": []}
    for line in notes.read_text().splitlines():
        what, clock = line.split()
        times[what].append(float(clock) - started)
    return Start(min(times["begins"]), min(times["ends"]))


def python(folder: Path, *arguments: object) -> str:
    """Runs a script in ``folder`` without the caller's stores and clusters; what it prints."""
    environment = {key: value for key, value in os.environ.items() if key not in ("MLFLOW_TRACKING_URI", "RAY_ADDRESS")}
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}")
    return done.stdout


def summary(repetition: Repetition) -> str:
    """One repetition in a line."""
    starts = ", ".join(f"{name} {start.begins_s:.2f}" for name, start in repetition.starts.items())
    return f"ray.init {repetition.ray_s:.2f}, torch {repetition.torch_s:.2f}, {starts} s"


def report(repetitions: list[Repetition]) -> str:
    """The page: medians (least to most), and whether the bound is kept."""
    parts = {
        "import of ray, beside the bound": [each.import_s for each in repetitions],
        "`ray.init` alone, with our settings": [each.ray_s for each in repetitions],
        "import of torch in an actor, nothing beside it": [each.torch_s for each in repetitions],
        f"**bound**: both and {ALLOWANCE_S:g} s": [each.bound_s for each in repetitions],
    }
    lines = [
        "# Start: from the command to the first training step",
        "",
        f"Made by `python benchmarks/startup.py`, {CONFIG.name} with one round. Seconds, medians (least to most) of "
        f"{len(repetitions)} repetitions in turns, every process fresh. {os.cpu_count()} cores. The bound of a "
        "repetition is made of its own times; `over the bound` is below zero where it is kept.",
        "",
        "| | seconds | over the bound | |",
        "| --- | ---: | ---: | --- |",
        *(f"| {name} | {spread(values)} | | |" for name, values in parts.items()),
        *(row for name in RUNS for row in rows(name, repetitions)),
    ]
    return "\n".join(lines) + "\n"


def rows(name: str, repetitions: list[Repetition]) -> list[str]:
    """The rows of a kind of run."""
    begins = [each.starts[name].begins_s for each in repetitions]
    ends = [each.starts[name].ends_s for each in repetitions]
    over = [start - each.bound_s for start, each in zip(begins, repetitions, strict=True)]
    verdict = "reached" if statistics.median(over) <= 0 else "missed"
    return [
        f"| `fedchunk run` {name}: training begins | {spread(begins)} | {spread(over)} | {verdict} |",
        f"| `fedchunk run` {name}: the first call to train has ended | {spread(ends)} | | |",
    ]


def spread(values: list[float]) -> str:
    """Median (least to most)."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


if __name__ == "__main__":
    main()
