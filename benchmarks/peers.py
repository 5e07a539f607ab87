"""fedchunk beside a plain PyTorch loop, fedjax, pfl-research and Flower on the same federated rounds.

    python benchmarks/peers.py                                  # everything; about an hour on two cores
    python benchmarks/peers.py --only mlp --repetitions 5
    python benchmarks/peers.py --contenders fedchunk,fedjax     # a trial: its results stay in runs/peers

Makes an environment for each peer (once), exports each workload, compares everybody's weights after three rounds with
the loop's, and only then takes times, all contenders in turn. Writes ``benchmarks/results/peers.md`` and the raw
times beside it as ``peers.json``; a workload that was not run keeps what stands there.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import peer_environments
from numpy.typing import NDArray
from peer_contenders import Contender, chosen, contenders
from peer_report import page
from peer_results import CHECKED_ROUNDS, LEAST_ROUNDS, Check, Timed, compare, disagreement
from peer_runs import ContenderFailed, Finished, run
from peer_workloads import WORKLOADS, Workload, export

Weights = NDArray[np.float32]

HERE = Path(__file__).parent
SCRATCH = HERE.parent / "runs" / "peers"
QUICK_COHORT = 10


def main() -> None:
    given = _arguments()
    everybody = contenders(len(os.sched_getaffinity(0)), given.actors)
    takers = chosen(everybody, given.contenders) if given.contenders else everybody
    for name in sorted({taker.environment for taker in takers if taker.environment}):
        peer_environments.ensure(SCRATCH / "venvs", name)
    is_trial = bool(given.contenders) or given.quick
    output = SCRATCH if is_trial else HERE / "results"
    for workload in WORKLOADS:
        if workload.name in (given.only or [workload.name]):
            workload = workload.quick(QUICK_COHORT) if given.quick else workload
            rounds = given.rounds or workload.rounds
            own = takers_of(workload, takers)
            section = measure(workload, own, rounds, given.repetitions, given.actors[0])
            _write(output, workload.name, section)
    print((output / "peers.md").read_text(encoding="utf-8"))


def takers_of(workload: Workload, takers: Sequence[Contender]) -> tuple[Contender, ...]:
    """Who runs a workload."""
    ours = [taker for taker in takers if taker.environment is None or not workload.is_ours_alone]
    return tuple(taker for taker in ours if workload.has_peers or not taker.is_of_peers)


def measure(
    workload: Workload, takers: Sequence[Contender], rounds: int, repetitions: int, actors: int
) -> dict[str, Any]:
    """Checks everybody, then times who passed; what the raw file keeps of a workload. ``actors`` are fedchunk's."""
    folder = SCRATCH / "workloads" / workload.name
    num_parameters = export(workload, max(rounds, CHECKED_ROUNDS), folder)
    checks = check(takers, folder)
    runs = []
    for repetition in range(1, repetitions + 1):
        for taker in takers:
            if checks[taker.name].fault is not None:
                continue
            try:
                runs.append(_timed(taker, folder, rounds, repetition))
            except ContenderFailed as error:
                checks[taker.name] = dataclasses.replace(checks[taker.name], fault=str(error))
    rate = workload.settings["learning_rate"]
    description = (
        f"{num_parameters:,} parameters; {workload.cohort} of {workload.clients:,} clients a round, {workload.samples} "
        f"samples each, batches of 10, one epoch, learning rate {rate}. {repetitions} repetitions of {rounds} rounds."
    )
    return {
        "title": workload.title,
        "description": description,
        "actors": actors,
        "machine": f"{datetime.now(UTC):%Y-%m-%d}, {len(os.sched_getaffinity(0))} cores, {_processor()}",
        "labels": {taker.name: taker.label for taker in takers},
        "checks": [dataclasses.asdict(check) for check in checks.values()],
        "runs": [dataclasses.asdict(run) for run in runs],
    }


def check(takers: Sequence[Contender], folder: Path) -> dict[str, Check]:
    """Everybody's weights beside the loop's, and everybody's memory; a dense contender that differs has a fault.

    Raises:
        ContenderFailed: the loop itself failed.
    """
    initial_P = np.load(folder / "initial_P.npy")
    loop = next(taker for taker in takers if taker.name == "loop")
    reference_P = _run(loop, folder, CHECKED_ROUNDS, watch=False).weights_P
    checks = {}
    for taker in takers:
        checks[taker.name] = _checked(taker, folder, reference_P, initial_P)
        print(f"{folder.name}: checked {taker.name}: {checks[taker.name].fault or 'sound'}", flush=True)
    return checks


def _checked(taker: Contender, folder: Path, reference_P: Weights, initial_P: Weights) -> Check:
    try:
        done = _run(taker, folder, CHECKED_ROUNDS, watch=True)
    except ContenderFailed as error:
        return Check(taker.name, fault=str(error))
    ran = Check(taker.name, peak_mb=done.peak_mb, versions=done.versions)
    if not taker.is_dense:
        return ran
    difference, deviation = compare(done.weights_P, reference_P, initial_P)
    fault = disagreement(difference, deviation)
    return dataclasses.replace(ran, difference=difference, deviation=deviation, fault=fault)


def _run(taker: Contender, folder: Path, rounds: int, *, watch: bool) -> Finished:
    """One run. Who ends with an error is asked once more: pfl-research's gloo aborts now and then."""
    try:
        return run(taker, folder, SCRATCH / "venvs", rounds, watch=watch)
    except ContenderFailed as error:
        print(f"{folder.name}: {taker.name} is asked again: {error}", flush=True)
        return run(taker, folder, SCRATCH / "venvs", rounds, watch=watch)


def _timed(taker: Contender, folder: Path, rounds: int, repetition: int) -> Timed:
    load = os.getloadavg()[0]
    done = _run(taker, folder, rounds, watch=False)
    median = 1e3 * float(np.median(done.rounds_s))
    print(f"{folder.name}: repetition {repetition}, {taker.name}: {median:.1f} ms a round", flush=True)
    return Timed(taker.name, repetition, load, done.first_s, done.rounds_s, done.train_s)


def _write(output: Path, name: str, section: dict[str, Any]) -> None:
    """Puts a workload's section into the raw file, and makes the page of it."""
    output.mkdir(parents=True, exist_ok=True)
    path = output / "peers.json"
    raw = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"workloads": {}}
    raw["workloads"][name] = section
    order = [workload.name for workload in WORKLOADS]
    raw["workloads"] = {name: raw["workloads"][name] for name in order if name in raw["workloads"]}
    path.write_text(json.dumps(raw, indent=1) + "\n", encoding="utf-8")
    (output / "peers.md").write_text(page(raw), encoding="utf-8")


def _processor() -> str:
    """The processor's name where Linux says it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [workload.name for workload in WORKLOADS]
    parser.add_argument("--only", action="append", choices=names, help="this workload; may be repeated")
    parser.add_argument("--contenders", type=_words, default=[], help="names or families, with commas between")
    parser.add_argument("--repetitions", type=_positive, default=3, help="turns of everybody (default 3)")
    parser.add_argument("--rounds", type=_rounds, help=f"rounds of a timed run, {LEAST_ROUNDS} or more")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_COHORT} clients a round; a trial")
    cores = len(os.sched_getaffinity(0))
    help_actors = "fedchunk's actors (default: one per core); 2,1 runs it with one, too"
    parser.add_argument("--actors", type=_numbers, default=(cores,), help=help_actors)
    return parser.parse_args()


def _words(text: str) -> list[str]:
    return text.split(",")


def _positive(text: str) -> int:
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"got {text}; allowed: 1 or more")
    return int(text)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(_positive(part) for part in text.split(","))


def _rounds(text: str) -> int:
    if int(text) < LEAST_ROUNDS:
        raise argparse.ArgumentTypeError(f"got {text}; allowed: {LEAST_ROUNDS} or more, because the first do not count")
    return int(text)


if __name__ == "__main__":
    main()
