"""Disks that are full, files that are damaged, tables that are large."""

from __future__ import annotations

import contextlib
import resource
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from reliability_bench import BASE, Bench, Row, start

import fedchunk
from fedchunk.orchestrator.core.errors import FedchunkError
from fedchunk.orchestrator.recording import table_files


def disk_full(bench: Bench) -> Row:
    """A disk that is full for a while, and one that stays full: files may not grow."""
    outcomes = []
    for lasting in (False, True):
        settings = {**BASE, "federated_learning_rounds": 60, "checkpoint_interval": 10}
        folder = bench.new("disk")
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)

        def on_round(row: Mapping[str, Any], lasting: bool = lasting, limits: tuple[int, int] = limits) -> None:
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
