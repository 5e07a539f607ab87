"""Runs points of the grid as commands of their own, several at a time; what is finished is not run again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from byte_points import Point, Value

from fedchunk.orchestrator.settings import loading

COMMON = Path(__file__).with_name("accuracy_per_byte.yaml")


def wanted_settings(point: Point, seed: int, rounds: int | None) -> dict[str, Value]:
    """What is set behind the common file: the point's own settings, the seed, and fewer rounds for a trial."""
    settings = {**point.settings, "random_seed": seed}
    if rounds is not None:
        settings["federated_learning_rounds"] = rounds
    return settings


def folder_of(runs: Path, point: Point, seed: int) -> Path:
    """Where a run is kept."""
    return runs / point.name / f"seed{seed}"


def is_finished(folder: Path, wanted: Mapping[str, Value]) -> bool:
    """Whether the folder holds a finished run with the common settings and these, and else nothing but defaults.

    A setting that the run knew nothing of, as it is younger than it, is no difference.
    """
    try:
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return False
    settings = json.loads(json.dumps(loading.load(COMMON, _overrides(wanted)).settings.flat()))
    known = {key for key in settings if key in config or key in wanted}
    return summary["status"] == "finished" and all(config.get(key) == settings[key] for key in known)


def run_all(runs: Path, points: Sequence[tuple[Point, int]], rounds: int | None, at_once: int) -> list[str]:
    """Runs what is not finished yet, in order.

    Returns:
        The runs that failed, each with the end of what it printed.
    """
    todo = [
        (point, seed)
        for point, seed in points
        if not is_finished(folder_of(runs, point, seed), wanted_settings(point, seed, rounds))
    ]
    print(f"{len(points)} runs, {len(points) - len(todo)} of them finished before, {at_once} at a time", flush=True)
    failures: list[str] = []
    begin = time.monotonic()
    with ThreadPoolExecutor(at_once) as pool:
        futures = {pool.submit(_run, runs, point, seed, rounds): (point, seed) for point, seed in todo}
        for number, future in enumerate(as_completed(futures), start=1):
            point, seed = futures[future]
            fault = future.result()
            if fault is not None:
                failures.append(f"{point.name}, seed {seed}: {fault}")
            left = (time.monotonic() - begin) / number * (len(todo) - number) / 60
            state = "finished" if fault is None else "FAILED"
            print(f"{number}/{len(todo)} {point.name} seed {seed} {state}, about {left:.0f} min left", flush=True)
    return failures


def _run(runs: Path, point: Point, seed: int, rounds: int | None) -> str | None:
    """One run as a process; None, or what it said when it failed. What an interrupted one left is replaced."""
    folder = folder_of(runs, point, seed)
    shutil.rmtree(folder, ignore_errors=True)
    settings = _overrides(wanted_settings(point, seed, rounds))
    fedchunk = Path(sys.executable).with_name("fedchunk")
    command = [str(fedchunk), "run", str(COMMON), *settings, "--local", "--output", str(folder)]
    done = subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    return None if done.returncode == 0 else f"exit code {done.returncode}: {done.stderr.strip()[-500:]}"


def _overrides(settings: Mapping[str, Value]) -> list[str]:
    """Settings as the command takes them."""
    return [f"{key}={str(value).lower() if isinstance(value, bool) else value}" for key, value in settings.items()]
