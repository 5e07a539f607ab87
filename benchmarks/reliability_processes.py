"""Processes that are killed, frozen, told to stop, or begin at the same moment."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

from reliability_bench import BASE, KINDS, Bench, Row, results, start, wait_for_client_actors

import fedchunk


def kill_and_resume(bench: Bench) -> Row:
    """``kill -9`` of the driver at random moments, three times a run, resumed each time."""
    same = tried = kills = 0
    plan = [*(("local", kind) for kind in KINDS for _ in range(bench.times(5, 1)))]
    plan += [("ray", kind) for kind in (list(KINDS) * 2)[: bench.times(9, 1)]]
    for where, kind in plan:
        settings = {**BASE, **KINDS[kind], "checkpoint_interval": 4}
        whole = bench.new("whole")
        fedchunk.run(settings, output=whole, local=True, progress=False)
        folder, file = bench.new("killed"), bench.settings(settings)
        local = ["--local"] if where == "local" else []
        for attempt in range(20):
            what = ["--resume", folder] if (folder / "config.json").exists() else [file, "--output", folder]
            running = start("run", *what, *local, cwd=bench.folder)
            try:
                longest = 4.0 if where == "local" else 14.0
                running.communicate(timeout=bench.rng.uniform(1.5, longest) if attempt < 3 else 120)
                break
            except subprocess.TimeoutExpired:
                os.killpg(running.pid, signal.SIGKILL)
                running.communicate()
                kills += 1
        tried += 1
        same += results(folder) == results(whole)
        shutil.rmtree(whole)
        shutil.rmtree(folder)
    return Row(
        f"kill -9 of the driver at random moments ({kills} kills in {tried} runs of five kinds), resumed each time",
        f"{same} of {tried} runs with the same bits and tables",
    )


def client_actor_killed(bench: Bench) -> Row:
    """``kill -9`` of a client actor in each of 20 rounds."""
    settings = {**BASE, "number_of_clients": 20, "federated_learning_rounds": bench.times(20, 4), "local_steps": 20}
    file, folder, plain = bench.settings(settings), bench.new("actors"), bench.new("plain")
    calm = start("run", file, "--output", plain, "number_of_actors=2", cwd=bench.folder)
    calm.communicate()
    running = start("run", file, "--output", folder, "number_of_actors=2", cwd=bench.folder)
    assert running.stderr is not None
    kills = 0
    for line in running.stderr:
        if line.startswith("round ") and (actors := wait_for_client_actors(running)):
            actors[0].kill()
            kills += 1
    running.wait()
    run, calm_run = fedchunk.load_run(folder), fedchunk.load_run(plain)
    updates = sum(run.rounds["participants"].to_pylist())
    asked = 20 * run.num_rounds
    extra = sum(run.rounds["wall_s"].to_pylist()) - sum(calm_run.rounds["wall_s"].to_pylist())
    same = run.summary["weights_sha256"] == calm_run.summary["weights_sha256"]
    return Row(
        f"kill -9 of a client actor in each of {run.num_rounds} rounds ({kills} kills)",
        f"{updates} of {asked} updates, {extra / max(kills, 1):.2f} s a kill, {'same' if same else 'other'} bits",
    )


def actor_frozen(bench: Bench) -> Row:
    """An actor that stops answering, with default settings and rounds of about a second."""
    settings = {**BASE, "federated_learning_rounds": 6, "local_steps": 60}
    file, folder = bench.settings(settings), bench.new("frozen")
    running = start("run", file, "--output", folder, "number_of_actors=2", cwd=bench.folder)
    assert running.stderr is not None
    frozen_at, said = 0.0, ""
    for line in running.stderr:
        if line.startswith("round 3/") and not frozen_at:
            wait_for_client_actors(running)[0].suspend()
            frozen_at = time.monotonic()
        if "is replaced" in line and not said:
            what = line.strip().partition(". ")[0]
            said = f"{time.monotonic() - frozen_at:.1f} s until it is replaced and named ({what})"
    running.wait()
    status = fedchunk.load_run(folder).status
    return Row("a client actor frozen (SIGSTOP), default settings", f"{said or 'nothing said'}; run {status}")


def runs_at_once(bench: Bench) -> Row:
    """Three runs begun at the same moment in a folder without a store."""
    finished = 0
    often = bench.times(20, 1)
    for _ in range(often):
        folder = bench.new("together")
        folder.mkdir()
        file = bench.settings({**BASE, "federated_learning_rounds": 3, "mlflow_enabled": True})
        running = [start("run", file, f"random_seed={seed}", "--local", cwd=folder) for seed in range(3)]
        for one in running:
            one.communicate()
        finished += sum(one.returncode == 0 for one in running)
    return Row(f"3 runs at once in a new folder, {often} times", f"{finished} of {3 * often} finish")


def signals(bench: Bench) -> Row:
    """TERM, HUP, INT and INT twice at random moments."""
    tried, amiss = 0, []
    for name in ("SIGTERM", "SIGHUP", "SIGINT", "SIGINT twice"):
        for _ in range(bench.times(20, 2)):
            folder = bench.new("signals")
            file = bench.settings({**BASE, "federated_learning_rounds": 400, "mlflow_enabled": True})
            running = start("run", file, "--local", "--json", "--output", folder, cwd=bench.folder)
            after = bench.rng.uniform(1.0, 6.0)
            time.sleep(after)
            running.send_signal(getattr(signal, name.partition(" ")[0]))
            if name.endswith("twice"):
                time.sleep(0.3)
                running.send_signal(signal.SIGINT)
            out, errors = running.communicate(timeout=120)
            tried += 1
            if fault := _fault(running.returncode, out, folder) or _left_running(bench.folder / "mlflow.db"):
                amiss.append(f"{name} after {after:.2f} s: {fault}")
                print(f"{amiss[-1]}\n{out}\n{errors}", file=sys.stderr)
    good = f"{tried - len(amiss)} of {tried}: documented code, JSON, tables, model, MLflow run ended"
    return Row("TERM, HUP, INT, INT twice, at random moments", "; ".join([good, *amiss]))


def _left_running(store: Path) -> str | None:
    """What MLflow still calls running, now that every process is gone; None if nothing."""
    if not store.exists():
        return None
    with contextlib.closing(sqlite3.connect(store)) as opened:
        if not opened.execute("SELECT 1 FROM sqlite_master WHERE name = 'runs'").fetchone():
            return None
        (left,) = opened.execute("SELECT count(*) FROM runs WHERE status = 'RUNNING'").fetchone()
    return f"{left} runs that MLflow calls running" if left else None


def _fault(code: int, out: str, folder: Path) -> str | None:
    """What is wrong with how a run ended that was told to stop; None if nothing is."""
    if code not in (0, 130):
        return f"exit code {code}"
    if not out.strip():
        return "no answer"
    status = json.loads(out.splitlines()[-1])["status"]
    if not (folder / "config.json").exists():  # before there was a run
        return None if (code, status) == (130, "interrupted") else f"{status} without a folder"
    run = fedchunk.load_run(folder)
    if run.status not in ("finished", "interrupted"):
        return f"the folder says {run.status}"
    return None if run.num_rounds == 0 or run.weights else "no weights"
