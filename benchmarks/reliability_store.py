"""An MLflow store that is gone, hangs, is locked, or cannot be written: what a run loses, and what ``sync`` brings."""

from __future__ import annotations

import contextlib
import json
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from reliability_bench import BASE, Bench, Row, start

import fedchunk
from fedchunk.orchestrator.tracking.store import open_store

ROUNDS = 30
SETTINGS: dict[str, Any] = {**BASE, "federated_learning_rounds": ROUNDS, "local_steps": 20, "mlflow_enabled": True}
POINTS = "select count(*), count(distinct step) from metrics where key = 'accuracy/global'"


def stores(bench: Bench) -> Row:
    """A run of 30 rounds beside each, and ``fedchunk sync`` into a sound store afterwards."""
    cases: dict[str, tuple[Callable[[Path], str], Callable[[Path], AbstractContextManager[None]]]] = {
        "refuses": (lambda folder: f"http://127.0.0.1:{_free_port()}", lambda folder: nullcontext()),
        "hangs": (lambda folder: "hanging", lambda folder: nullcontext()),
        "locked for 5 s": (_sqlite, lambda folder: _locked(folder, 5.0)),
        "locked for ever": (_sqlite, lambda folder: _locked(folder, 300.0)),
        "cannot be made": (lambda folder: "sqlite:////proc/fedchunk/mlflow.db", lambda folder: nullcontext()),
        "is a text file": (_text_file, lambda folder: nullcontext()),
    }
    outcomes = [f"{name}: {_beside(bench, *case)}" for name, case in cases.items()]
    return Row(
        f"an MLflow store that ... ({ROUNDS} rounds; points in it, or after sync in a sound one)", "; ".join(outcomes)
    )


def _beside(
    bench: Bench, address: Callable[[Path], str], trouble: Callable[[Path], AbstractContextManager[None]]
) -> str:
    folder = bench.new("store")
    folder.mkdir()
    file = bench.settings(SETTINGS)
    with contextlib.ExitStack() as stack:
        uri = address(folder)
        if uri == "hanging":
            uri = stack.enter_context(_hanging())
        stack.enter_context(trouble(folder))
        last_round, code = 0.0, None
        running = start("run", file, "--local", "--output", "run", "--tracking-uri", uri, cwd=folder)
        assert running.stderr is not None
        for line in running.stderr:
            last_round = time.monotonic() if line.startswith("round ") else last_round
        code = running.wait()
        at_the_end = time.monotonic() - last_round
    rounds = fedchunk.load_run(folder / "run").num_rounds
    sound = folder / "sound.db"
    for _ in range(2):
        start("sync", "run", "--tracking-uri", f"sqlite:///{sound}", cwd=folder).communicate()
    # What had arrived in its own store is not sent to another one.
    points, steps = max(_points(sound), _points(folder / "mlflow.db"))
    twice = "" if points == steps else f", {points - steps} twice"
    return f"{rounds} rounds, {at_the_end:.0f} s at the end, exit code {code}, {steps} points{twice}"


def _points(database: Path) -> tuple[int, int]:
    """How many values of accuracy are in a store, and of how many rounds."""
    try:
        points, rounds = sqlite3.connect(f"file:{database}?mode=ro", uri=True).execute(POINTS).fetchone()
    except sqlite3.Error:
        return 0, 0
    return points, rounds


def _sqlite(folder: Path) -> str:
    return f"sqlite:///{folder}/mlflow.db"


def _text_file(folder: Path) -> str:
    (folder / "mlflow.db").write_text(json.dumps({"this is": "no database"}) * 100)
    return _sqlite(folder)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port


@contextlib.contextmanager
def _hanging() -> Iterator[str]:
    """A server that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        yield f"http://127.0.0.1:{silent.getsockname()[1]}"


@contextlib.contextmanager
def _locked(folder: Path, seconds: float) -> Iterator[None]:
    """A store that another process writes to, from before the run's first round on."""
    open_store(_sqlite(folder))
    database = sqlite3.connect(folder / "mlflow.db", check_same_thread=False)
    database.execute("begin exclusive")
    free = threading.Timer(seconds, database.rollback)
    free.start()
    try:
        yield
    finally:
        free.cancel()
        with contextlib.suppress(sqlite3.Error):
            database.rollback()
        database.close()
