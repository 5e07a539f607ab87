"""The ``profile`` table as a trace that a browser's trace viewer opens (https://ui.perfetto.dev, chrome://tracing).

The format is Chrome's: "Trace Event Format", complete events (``X``) in microseconds and metadata events (``M``) that
name the rows. One row for the rounds, one for each actor.
"""

from __future__ import annotations

import heapq
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from fedchunk.orchestrator.recording.timeline import COORDINATOR, DRIVER, Window, round_windows

MOST_EVENTS = 200_000
"""Events of a trace: 25 MB, which a browser opens in seconds. Of a longer run it holds the first rounds only."""

_PROCESS = 1
_ROUNDS = "rounds"

Event = dict[str, Any]


def rounds_shown(table: pa.Table, most_events: int = MOST_EVENTS) -> list[int]:
    """The rounds whose events a trace has: the first ones, whole, and at least one."""
    shown: list[int] = []
    events = 0
    for round_index, count in sorted(Counter(table["round"].to_pylist()).items()):
        events += count
        if shown and events > most_events:
            break
        shown.append(round_index)
    return shown


def trace_events(table: pa.Table) -> Iterator[Event]:
    """The events of a ``profile`` table: names of the rows first, then everything by time."""
    rows = {name: number for number, name in enumerate(_rows(table), start=1)}
    yield _metadata("process_name", 0, name="fedchunk")
    for name, number in rows.items():
        yield _metadata("thread_name", number, name=name)
        yield _metadata("thread_sort_index", number, sort_index=number)
    yield from heapq.merge(
        _of_rounds(table, rows[_ROUNDS]), _of_actors(table, rows), key=lambda event: int(event["ts"])
    )


def write_trace(table: pa.Table, path: Path) -> None:
    """Writes the trace of a ``profile`` table, an event a line. Raises OSError."""
    table = table.filter(pc.is_in(table["round"], pa.array(rounds_shown(table), pa.int32())))
    with path.open("w", encoding="utf-8") as file:
        file.write('{"displayTimeUnit": "ms", "traceEvents": [')
        for number, event in enumerate(trace_events(table)):
            file.write(f"{',' if number else ''}\n{json.dumps(event)}")
        file.write("\n]}\n")


def in_order(actors: Iterable[str]) -> list[str]:
    """Actors as people look for them: the coordinator, the client actors by host and process, the driver."""

    def place(actor: str) -> tuple[int, list[tuple[int, str]]]:
        parts = [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", actor)]
        return {COORDINATOR: 0, DRIVER: 2}.get(actor, 1), parts

    return sorted(actors, key=place)


def _rows(table: pa.Table) -> list[str]:
    return [_ROUNDS, *in_order(pc.unique(table["actor"]).to_pylist())]


def _of_rounds(table: pa.Table, row: int) -> Iterator[Event]:
    trained = table.filter(pc.equal(table["activity"], "train")).group_by("round").aggregate([("clients", "sum")])
    clients = dict(zip(trained["round"].to_pylist(), trained["clients_sum"].to_pylist(), strict=True))
    for round_index, window in round_windows(table).items():
        yield _complete(f"round {round_index}", "round", window, row, round_index, clients.get(round_index, 0))


def _of_actors(table: pa.Table, rows: dict[str, int]) -> Iterator[Event]:
    for batch in table.to_batches(max_chunksize=2**14):
        for row in batch.to_pylist():
            window = Window(row["start_s"], row["start_s"] + row["duration_s"])
            category = "wait" if row["activity"] == "wait" else "work"
            yield _complete(row["activity"], category, window, rows[row["actor"]], row["round"], row["clients"])


def _complete(name: str, category: str, window: Window, row: int, round_index: int, clients: int) -> Event:
    # Both ends are rounded, not the length: what did not overlap in the table does not do so here.
    start_us, stop_us = round(1e6 * window.start_s), round(1e6 * window.stop_s)
    place = {"pid": _PROCESS, "tid": row, "ts": start_us, "dur": stop_us - start_us}
    return {"name": name, "cat": category, "ph": "X", **place, "args": {"round": round_index, "clients": clients}}


def _metadata(kind: str, row: int, **args: str | int) -> Event:
    return {"name": kind, "ph": "M", "pid": _PROCESS, "tid": row, "args": args}
