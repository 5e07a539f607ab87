"""Where the time of the rounds went: spans of actors as rows of the ``profile`` table, and the waits between them."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from fedchunk.orchestrator.contract.messages import Span
from fedchunk.orchestrator.core.records import SCHEMAS, table_from_columns

COORDINATOR, DRIVER = "coordinator", "driver"
"""Actors that are not client actors: they do not wait for work."""

RECORD = "record"
"""The activity that is no part of a round's time: a round is written down while the next one runs."""

SHORTEST_WAIT_S = 1e-4
"""Gaps below it are between two lines of code, not waits."""


class Piece(NamedTuple):
    """A span, or the part of it that is left where another lies on it. Times in seconds."""

    activity: str
    clients: int
    start_s: float
    stop_s: float


class Window(NamedTuple):
    """From the first span of a round to the end of its last, recording left out, in seconds."""

    start_s: float
    stop_s: float


class Timeline:
    """Collects the spans of rounds. Columns only, so that a long run fits into memory."""

    def __init__(self) -> None:
        self._parts: list[pa.Table] = []
        self._windows: dict[int, Window] = {}
        self._rounds_of: dict[str, list[int]] = defaultdict(list)

    def add(self, round_index: int, spans: Iterable[Span]) -> None:
        """The spans of a round, with those in which the driver recorded the round before."""
        by_actor: dict[str, list[Span]] = defaultdict(list)
        for span in spans:
            by_actor[span.actor].append(span)
        pieces = {actor: one_at_a_time(own) for actor, own in by_actor.items()}
        of_round = [piece for own in pieces.values() for piece in own if piece.activity != RECORD]
        if not of_round:
            return
        # Not before the round before: a call that failed then tells of itself with its actor's next answer.
        before_s = max((window.stop_s for window in self._windows.values()), default=-math.inf)
        start_s = max(before_s, min(piece.start_s for piece in of_round))
        window = self._windows[round_index] = Window(start_s, max(piece.stop_s for piece in of_round))
        for actor, own in pieces.items():
            if is_client_actor(actor):
                self._rounds_of[actor].append(round_index)
                own = [*own, *waits(own, window)]
            self._parts.append(_part(round_index - (actor == DRIVER), actor, own))

    def table(self) -> pa.Table:
        """The ``profile`` table, by time. An actor without work in a round between two of its own waited all of it."""
        idle = [
            _part(between, actor, waits([], self._windows[between]))
            for actor, own in self._rounds_of.items()
            for between in sorted(self._windows.keys() - set(own))
            if own[0] < between < own[-1]
        ]
        schema = SCHEMAS["profile"]
        if not self._parts:
            return schema.empty_table()
        table = pa.concat_tables([*self._parts, *idle])
        origin_s = min(window.start_s for window in self._windows.values())
        at = schema.get_field_index("start_s")
        table = table.set_column(at, schema.field(at), pc.subtract(table["start_s"], origin_s))
        return table.sort_by([("start_s", "ascending"), ("actor", "ascending")])


def is_client_actor(actor: str) -> bool:
    """Whether an actor of this name acts for clients."""
    return actor not in (COORDINATOR, DRIVER)


def one_at_a_time(spans: Iterable[Span]) -> list[Piece]:
    """What an actor did when, by time, with nothing at the same time: where spans overlap, what began last counts.

    A span in another thus cuts it in two. Neighbours overlap by a microsecond where two clocks differ.
    """
    pieces: list[Piece] = []
    open_: list[Piece] = []
    at = -math.inf
    by_start = sorted((Piece(s.activity, s.clients, s.start_s, s.start_s + s.duration_s) for s in spans), key=_nesting)
    for until, begins in [*((piece.start_s, piece) for piece in by_start), (math.inf, None)]:
        while open_ and at < until:
            latest = open_[-1]
            stop_s = min(latest.stop_s, until)
            if stop_s > at:
                pieces.append(latest._replace(start_s=at, stop_s=stop_s))
                at = stop_s
            if latest.stop_s <= at:
                open_.pop()
        at = until
        if begins:
            open_.append(begins)
    return pieces


def waits(pieces: Sequence[Piece], window: Window) -> list[Piece]:
    """The gaps between an actor's pieces (by time), and between them and the ends of the round."""
    edges = [window.start_s, *(max(edge, window.start_s) for piece in pieces for edge in piece[-2:]), window.stop_s]
    gaps = zip(edges[::2], edges[1::2], strict=True)
    return [Piece("wait", 0, start_s, stop_s) for start_s, stop_s in gaps if stop_s - start_s >= SHORTEST_WAIT_S]


def round_windows(table: pa.Table) -> dict[int, Window]:
    """When each round of a ``profile`` table began and ended, in order; none begins before the last has ended."""
    of_rounds = table.filter(pc.not_equal(table["activity"], RECORD))
    stops = of_rounds.append_column("stop_s", pc.add(of_rounds["start_s"], of_rounds["duration_s"]))
    ends = stops.group_by("round").aggregate([("start_s", "min"), ("stop_s", "max")]).sort_by("round")
    windows: dict[int, Window] = {}
    before_s = 0.0
    for row in ends.to_pylist():
        windows[row["round"]] = Window(max(before_s, row["start_s_min"]), row["stop_s_max"])
        before_s = row["stop_s_max"]
    return windows


def _nesting(piece: Piece) -> tuple[float, float]:
    """Order by start; of two that start together the longer is the outer one."""
    return piece.start_s, -piece.stop_s


def _part(round_index: int, actor: str, pieces: Sequence[Piece]) -> pa.Table:
    columns = {
        "round": [round_index] * len(pieces),
        "actor": [actor] * len(pieces),
        "activity": [piece.activity for piece in pieces],
        "clients": [piece.clients for piece in pieces],
        "start_s": [piece.start_s for piece in pieces],
        "duration_s": [piece.stop_s - piece.start_s for piece in pieces],
    }
    return table_from_columns("profile", columns)
