"""What is lost when things go wrong: the same faults as in practice, tried on real runs.

    python benchmarks/reliability.py [--only kill,frozen] [--quick]

Writes the table of ``benchmarks/results/reliability.md``, case by case as each is done. With ``--quick`` every case is
tried a few times only, and nothing is written. The whole takes about an hour on two cores.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

import fedchunk
from fedchunk.orchestrator.core.errors import FedchunkError
from fedchunk.orchestrator.recording import table_files

RESULTS = Path(__file__).parent / "results" / "reliability.md"
FIGURES = RESULTS.with_suffix(".json")
FEDCHUNK = Path(sys.executable).with_name("fedchunk")
TIMES = {"train_s", "aggregate_s", "evaluate_s", "wall_s", "actors_busy", "attempts"}
BASE: dict[str, Any] = {
    "dataset_type": "digits", "number_of_clients": 10, "federated_learning_rounds": 30, "learning_rate": 0.1,
    "local_steps": 4, "device": "cpu", "mlflow_enabled": False, "chunking": True, "chunking_parts": 100,
    "sensitivity_percentage": 30.0, "data_distribution_kind": "dir", "dirichlet_beta": 1.0,
}  # fmt: skip
KINDS: dict[str, dict[str, Any]] = {
    "contributors": {"metrics": ["top5"]},
    "error feedback": {
        "chunk_reconstruction": "error_feedback", "downlink_sensitivity_percentage": 30, "client_sampling_rate": 0.5,
        "server_optimizer": "adam", "chunk_encoding": "int4", "chunk_score": "accumulated", "withheld_share": 0.5,
    },
    "consensus": {"chunk_agreement": "consensus", "chunk_reconstruction": "error_feedback", "agreement_interval": 3},
    "full exchange": {"chunking": False, "evaluate_clients": True},
    "peers": {
        "federated_learning_schema": "DecentralizedFederatedLearning", "federated_learning_topology": "ring",
        "chunk_reconstruction": "stale_copies",
    },
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    case: str
    outcome: str


class Bench:
    """A folder for runs, and how often each case is tried."""

    def __init__(self, folder: Path, *, quick: bool) -> None:
        self.folder, self.quick = folder, quick
        self.rng = random.Random(7)

    def times(self, often: int, quickly: int = 2) -> int:
        """How often."""
        return quickly if self.quick else often

    def new(self, name: str) -> Path:
        """A folder that is not there yet."""
        path = self.folder / f"{name}-{len(list(self.folder.iterdir()))}"
        assert not path.exists()
        return path

    def settings(self, values: dict[str, Any]) -> Path:
        """A settings file."""
        path = self.new("settings").with_suffix(".yaml")
        path.write_text(json.dumps(values))
        return path


def start(*arguments: object, cwd: Path, **more: Any) -> subprocess.Popen[str]:
    """The command, as a user starts it, in a process group of its own."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **more.pop("env", {})}
    return subprocess.Popen(
        [str(FEDCHUNK), *map(str, arguments)], cwd=cwd, env=environment, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, start_new_session=True, **more,
    )  # fmt: skip


def client_actors(driver: int) -> list[psutil.Process]:
    """The processes of client actors below a driver's that are at work."""
    found = []
    for child in psutil.Process(driver).children(recursive=True):
        try:
            if any("_ClientShell.ask" in part for part in child.cmdline()):
                found.append(child)
        except psutil.Error:
            continue  # it has just ended
    return found


def wait_for_client_actors(running: subprocess.Popen[str]) -> list[psutil.Process]:
    """The same, as soon as one is; none if the run has ended."""
    found: list[psutil.Process] = []
    while not found and running.poll() is None:
        with contextlib.suppress(psutil.NoSuchProcess):
            found = client_actors(running.pid)
    return found


def results(folder: Path) -> dict[str, Any]:
    """All that a run recorded, times aside."""
    run = fedchunk.load_run(folder)
    tables = {
        name: table.drop_columns([c for c in table.column_names if c in TIMES]).to_pylist()
        for name, table in run.tables.items()
        if name != "profile"
    }
    return {"tables": tables, "weights": run.summary["weights_sha256"], "status": run.status}


def kill_and_resume(bench: Bench) -> Row:
    """``kill -9`` of the driver at random moments, three times a run, resumed each time."""
    same = tried = kills = 0
    plan = [*(("local", kind) for kind in KINDS for _ in range(bench.times(5, 1)))]
    plan += [("ray", kind) for kind in list(KINDS)[: bench.times(5, 1)]]
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
            said = f"{time.monotonic() - frozen_at:.1f} s until it is replaced and named ({line.strip()[:90]})"
    running.wait()
    status = fedchunk.load_run(folder).status
    return Row("a client actor frozen (SIGSTOP), default settings", f"{said or 'nothing said'}; run {status}")


def disk_full(bench: Bench) -> Row:
    """A disk that is full for a while, and one that stays full: files may not grow."""
    outcomes = []
    for lasting in (False, True):
        settings = {**BASE, "federated_learning_rounds": 60, "checkpoint_interval": 10}
        folder = bench.new("disk")
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)

        def on_round(row: dict[str, Any], lasting: bool = lasting, limits: tuple[int, int] = limits) -> None:
            time.sleep(0.02)
            if row["round"] == 20:
                resource.setrlimit(resource.RLIMIT_FSIZE, (1500, limits[1]))
            if row["round"] == 40 and not lasting:
                resource.setrlimit(resource.RLIMIT_FSIZE, limits)

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        try:
            fedchunk.run(settings, output=folder, local=True, progress=False, on_round=on_round)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        run = fedchunk.load_run(folder)
        missing = ", ".join(run.summary["unwritten"]) or "nothing missing"
        outcomes.append(f"{'for good' if lasting else 'for a while'}: {run.num_rounds} of 60 rounds, {missing}")
    return Row("disk full in the middle, for a while and for good", "; ".join(outcomes))


def bits_flipped(bench: Bench) -> Row:
    """One bit of one file of a finished run, 100 times for each kind of file."""
    run = bench.new("flipped")
    fedchunk.run({**BASE, "federated_learning_rounds": 5}, output=run, local=True, progress=False)
    files = ["weights.safetensors", "summary.json", "config.json", "manifest.json"]
    files += [f"tables/{name}.parquet" for name in ("rounds", "clients", "chunks", "layout", "ledger")]
    silent = tracebacks = 0
    often = bench.times(100, 5)
    for name in files:
        content = (run / name).read_bytes()
        for _ in range(often):
            damaged = bytearray(content)
            damaged[bench.rng.randrange(len(damaged))] ^= 1 << bench.rng.randrange(8)
            (run / name).write_bytes(damaged)
            try:
                loaded = fedchunk.load_run(run)
                assert loaded.weights
                assert loaded.chunks
                silent += 1
            except FedchunkError:
                pass
            except Exception:
                tracebacks += 1
        (run / name).write_bytes(content)
    return Row(
        f"one bit flipped, {often} times in each of {len(files)} files", f"{silent} silent, {tracebacks} tracebacks"
    )


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
    good = tried = 0
    for name in ("SIGTERM", "SIGHUP", "SIGINT", "SIGINT twice"):
        for _ in range(bench.times(20, 2)):
            folder = bench.new("signals")
            file = bench.settings({**BASE, "federated_learning_rounds": 400, "mlflow_enabled": True})
            running = start("run", file, "--local", "--json", "--output", folder, cwd=bench.folder)
            time.sleep(bench.rng.uniform(1.0, 6.0))
            running.send_signal(getattr(signal, name.partition(" ")[0]))
            if name.endswith("twice"):
                time.sleep(0.3)
                running.send_signal(signal.SIGINT)
            out, _ = running.communicate(timeout=120)
            tried += 1
            good += _ended_well(running.returncode, out, folder)
    return Row(
        "TERM, HUP, INT, INT twice, at random moments", f"{good} of {tried}: documented code, JSON, tables, model"
    )


def _ended_well(code: int, out: str, folder: Path) -> bool:
    if code not in (0, 130) or not out.strip():
        return False
    answer = json.loads(out.splitlines()[-1])
    if not (folder / "summary.json").exists():
        return code == 130 and answer["status"] == "interrupted"  # before there was a run
    run = fedchunk.load_run(folder)
    return run.status in ("finished", "interrupted") and (run.num_rounds == 0 or bool(run.weights))


def sweep_of_small_runs(bench: Bench) -> Row:
    """30 small runs as a sweep, against the sum of their rounds' times."""
    folder = bench.new("sweep")
    file = bench.settings({**BASE, "federated_learning_rounds": 40, "mlflow_enabled": True})
    seeds = bench.times(6, 2)
    started = time.monotonic()
    running = start(
        "sweep", file, "sensitivity_percentage=5,10,20,40,80", f"random_seed=1..{seeds}", "--output", folder,
        cwd=bench.folder,
    )  # fmt: skip
    running.communicate()
    took = time.monotonic() - started
    rounds = sum(sum(fedchunk.load_run(trial).rounds["wall_s"].to_pylist()) for trial in (folder / "trials").iterdir())
    count = len(list((folder / "trials").iterdir()))
    return Row(
        f"{count} small runs as a sweep",
        f"{took:.1f} s, {took / count:.2f} s a run, {took / rounds:.2f} times the sum of their rounds' times",
    )


def cost_of_checkpoints(bench: Bench) -> Row:
    """What checkpoints take of the time, with the default interval: medians of rounds with and without, in turns."""
    import statistics

    outcomes = []
    mlp = {"number_of_clients": 1000, "client_sampling_rate": 0.1, "federated_learning_rounds": 150}
    cnn = {"number_of_clients": 50, "client_sampling_rate": 0.2, "federated_learning_rounds": 25, "model_type": "cnn"}
    iid = {"data_distribution_kind": "iid"}
    cases: dict[str, dict[str, Any]] = {"MLP, 1,000 clients": mlp | iid, "CNN, 50 clients": cnn | iid}
    for name, case in cases.items():
        if bench.quick:
            case = {**case, "federated_learning_rounds": 8}
        walls: dict[int | None, list[float]] = {0: [], None: []}
        for _ in range(bench.times(3, 1)):
            for interval in (0, None):
                file = bench.settings({**BASE, **case, "checkpoint_interval": interval})
                folder = bench.new("cost")
                start("run", file, "--output", folder, cwd=bench.folder).communicate()
                rounds = fedchunk.load_run(folder).rounds["wall_s"].to_pylist()
                walls[interval].append(sum(rounds[3:]))
                shutil.rmtree(folder)
        with_them, without = (statistics.median(walls[interval]) for interval in (None, 0))
        outcomes.append(f"{name}: {100 * (with_them / without - 1):+.1f} %")
    return Row("what checkpoints cost, default interval", "; ".join(outcomes))


def large_report(bench: Bench) -> Row:
    """The report of 2,000 rounds of 100 clients and 1,000 chunks: 20 real rounds, told 100 times over."""
    folder, often = bench.new("large"), bench.times(100, 5)
    case = {"number_of_clients": 100, "chunking_parts": 1000, "federated_learning_rounds": 20, "local_steps": 1}
    fedchunk.run({**BASE, **case, "data_distribution_kind": "iid"}, output=folder, local=True, progress=False)
    (folder / "manifest.json").unlink()
    for name in ("rounds", "clients", "chunks", "ledger", "metrics"):
        _repeat(folder / "tables" / f"{name}.parquet", often)
    rows = pq.read_metadata(folder / "tables" / "chunks.parquet").num_rows
    size = (folder / "tables" / "chunks.parquet").stat().st_size
    started = time.monotonic()
    running = start("analyze", folder, cwd=bench.folder)
    most = 0
    while running.poll() is None:
        with contextlib.suppress(psutil.Error):
            most = max(most, psutil.Process(running.pid).memory_info().rss)
        time.sleep(0.05)
    assert running.returncode == 0, running.communicate()
    return Row(
        f"report of {rows / 1e6:.0f} million rows of chunks ({size / rows:.1f} bytes a row)",
        f"{time.monotonic() - started:.0f} s, {most / 2**30:.2f} GiB at most",
    )


def _repeat(table: Path, often: int) -> None:
    """The same rounds again and again, with other numbers."""
    read = pq.read_table(table)
    place, rounds = read.column_names.index("round"), read["round"]
    last = pc.max(rounds).as_py() or 0
    with pq.ParquetWriter(table, read.schema, **table_files.encoding(read.schema)) as writer:
        for times in range(often):
            later = pc.add(rounds, pa.scalar(times * last, pa.int32()))
            writer.write_table(read.set_column(place, read.schema.field("round"), later), row_group_size=2**17)


CASES: dict[str, Callable[[Bench], Row]] = {
    "kill": kill_and_resume,
    "actors": client_actor_killed,
    "frozen": actor_frozen,
    "disk": disk_full,
    "bits": bits_flipped,
    "together": runs_at_once,
    "signals": signals,
    "sweep": sweep_of_small_runs,
    "cost": cost_of_checkpoints,
    "report": large_report,
}


def main() -> None:
    """Runs the cases and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help=f"some of {', '.join(CASES)}, with commas")
    parser.add_argument("--quick", action="store_true", help="a few times each, and write nothing")
    options = parser.parse_args()
    names = options.only.split(",") if options.only else list(CASES)
    with tempfile.TemporaryDirectory(prefix="fedchunk-reliability-") as folder:
        bench = Bench(Path(folder), quick=options.quick)
        for name in names:
            started = time.monotonic()
            row = CASES[name](bench)
            print(f"{row.case}: {row.outcome} ({time.monotonic() - started:.0f} s)", flush=True)
            if not options.quick:
                write(name, row)


def write(name: str, row: Row) -> None:
    """Puts a row into the table; those of other cases stay."""
    known: dict[str, Any] = json.loads(FIGURES.read_text(encoding="utf-8")) if FIGURES.exists() else {}
    known[name] = {"case": row.case, "outcome": row.outcome}
    FIGURES.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
    head = (
        "# When things go wrong\n\nMade by `python benchmarks/reliability.py` on "
        f"{os.cpu_count()} cores. Every case is real: processes are killed, files are damaged.\n\n"
        "| what is done | what comes of it |\n| --- | --- |\n"
    )
    rows = [f"| {known[one]['case']} | {known[one]['outcome']} |" for one in CASES if one in known]
    RESULTS.write_text(head + "\n".join(rows) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
