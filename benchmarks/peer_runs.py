"""Runs one contender as a process of its own, and watches its clock and, where no time counts, its memory."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
from numpy.typing import NDArray
from peer_contenders import Contender
from peer_environments import python_of

LIMIT_S = 3600.0
"""A contender that takes longer is ended and counts as failed."""
LOOK_S = 0.25
"""How often memory is looked at."""
SIDE = Path(__file__).with_name("peers_side")


class ContenderFailed(Exception):
    """A contender ended without a result; what it said is in its log, which the text names."""


SHORT_CHUNK = 64
"""Values of a chunk where chunks are short."""


@dataclass(frozen=True)
class Finished:
    """What a contender's process left."""

    first_s: float
    """Seconds from the start of the process to the end of its first round."""
    rounds_s: tuple[float, ...]
    """Seconds of every round but the first."""
    train_s: tuple[float, ...]
    """Seconds of training in every round; empty where the contender does not say."""
    versions: dict[str, str]
    weights_P: NDArray[np.float32]
    """After the last round."""
    peak_mb: float | None
    """Most memory of all its processes (proportional set size, 10^6 bytes); None where it was not watched."""


def _filled_in(option: str, work: Path) -> str:
    if "{" not in option:
        return option
    return option.format(short_chunks=len(np.load(work / "initial_P.npy", mmap_mode="r")) // SHORT_CHUNK)


def run(contender: Contender, work: Path, venvs: Path, rounds: int, *, watch: bool) -> Finished:
    """One run of ``rounds`` rounds over the work exported in ``work``.

    Args:
        contender: who.
        work: folder of the workload; the contender's log goes there, too.
        venvs: folder of the environments.
        rounds: how many.
        watch: look at memory, which disturbs the times a little.

    Raises:
        ContenderFailed: it ended with an error, or took longer than ``LIMIT_S``.
    """
    with tempfile.TemporaryDirectory(prefix="peers-", ignore_cleanup_errors=True) as scratch:
        result, log = Path(scratch) / "result.json", work / f"{contender.name}.log"
        command = [
            *(str(python_of(venvs, contender.environment)), *contender.launcher, str(SIDE / contender.script)),
            *(str(work), str(result), "--rounds", str(rounds), "--actors", str(contender.actors)),
            *(argument for option in contender.options for argument in ("--option", _filled_in(option, work))),
        ]
        with log.open("wb") as output:
            started = time.perf_counter()
            process = subprocess.Popen(
                command, env=_environment(contender, scratch), stdout=output, stderr=subprocess.STDOUT
            )
            peak_mb = _wait(process, watch)
        if process.returncode or not result.exists():
            raise ContenderFailed(f"it ended with {process.returncode}; what it said: {work.name}/{log.name}")
        kept = json.loads(result.read_text(encoding="utf-8"))
        weights_P = np.load(result.with_suffix(".npy"))
    ends = kept["ends"]
    return Finished(
        first_s=ends[0] - started,
        rounds_s=tuple(float(seconds) for seconds in np.diff(ends)),
        train_s=tuple(kept.get("train_s", ())),
        versions=kept["versions"],
        weights_P=weights_P,
        peak_mb=peak_mb,
    )


def _environment(contender: Contender, scratch: str) -> dict[str, str]:
    """Offline, quiet, and with Ray's sockets and Flower's home in a folder that goes away."""
    quiet = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
    places = {"RAY_TMPDIR": scratch, "FLWR_HOME": f"{scratch}/flwr", "PYTHONPATH": str(SIDE)}
    return {**os.environ, **quiet, **places, **contender.variables}


def _wait(process: subprocess.Popen[bytes], watch: bool) -> float | None:
    """Waits for the end; the most memory seen meanwhile, if that was asked for."""
    deadline, peak = time.monotonic() + LIMIT_S, 0.0
    while True:
        try:
            process.wait(LOOK_S if watch else LIMIT_S)
            return peak if watch else None
        except subprocess.TimeoutExpired:
            if time.monotonic() > deadline:
                _end(process)
                raise ContenderFailed(f"it took longer than {LIMIT_S:g} s") from None
            peak = max(peak, _memory_mb(process.pid))


def _memory_mb(pid: int) -> float:
    total = 0
    for process in _tree(pid):
        try:
            total += process.memory_full_info().pss
        except psutil.NoSuchProcess:
            continue
    return total / 1e6


def _end(process: subprocess.Popen[bytes]) -> None:
    for member in _tree(process.pid):
        member.kill()
    process.wait()


def _tree(pid: int) -> list[psutil.Process]:
    try:
        parent = psutil.Process(pid)
        return [*parent.children(recursive=True), parent]
    except psutil.NoSuchProcess:
        return []
