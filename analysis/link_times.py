"""The seconds of a run's rounds over links: values that print, and convert to Arrow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fedchunk.analysis.text import time_text
from fedchunk.orchestrator.core.link_times import PARTS, RoundTime

PART_NAMES = {
    "down_s": "receiving", "compute_s": "computing", "up_s": "sending", "latency_s": "latency",
    "waiting_s": "waiting for the slowest",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class LinkTimes:
    """The seconds of R rounds over links."""

    links: str
    rounds_R: NDArray[np.int64]
    rounds: tuple[RoundTime, ...]

    @property
    def seconds_R(self) -> NDArray[np.float64]:
        """Of each round."""
        return np.array([one.seconds for one in self.rounds], np.float64)

    @property
    def seconds(self) -> float:
        """Of all rounds."""
        return float(self.seconds_R.sum())

    @property
    def shares(self) -> dict[str, float]:
        """The mean client's time by what it did, as shares of all of it; empty where nothing took any."""
        sums = {name: sum(getattr(one, name) for one in self.rounds) for name in PARTS}
        return {name: part / self.seconds for name, part in sums.items()} if self.seconds else {}

    def to_arrow(self) -> pa.Table:
        """A row per round: its seconds, their parts, and the client that the others waited for."""
        columns: dict[str, pa.Array] = {"round": pa.array(self.rounds_R, pa.int32())}
        for name in ("seconds", *PARTS):
            columns[name] = pa.array([getattr(one, name) for one in self.rounds], pa.float64())
        return pa.table({**columns, "slowest": pa.array([one.slowest for one in self.rounds], pa.int32())})

    def to_dict(self) -> dict[str, object]:
        """For JSON."""
        return {"links": self.links, "seconds": self.seconds, "hours": self.seconds / 3600, "shares": self.shares}

    def rows(self) -> list[tuple[str, str]]:
        """What a report says."""
        if not self.rounds:
            return [("links", self.links), ("time", "no round has finished")]
        mean = self.seconds / len(self.rounds)
        lines = [
            ("links", self.links),
            ("time of all rounds", f"{time_text(self.seconds)} ({self.seconds / 3600:.3g} hours)"),
            ("a round, mean", time_text(mean)),
        ]
        shown = {name: share for name, share in self.shares.items() if share or name != "latency_s"}
        lines += [(f"of it {PART_NAMES[name]}", f"{100 * share:.1f} %") for name, share in shown.items()]
        return lines


def links_text(times: LinkTimes) -> str:
    """The same as :meth:`LinkTimes.rows` for a console."""
    rows = times.rows()
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name.ljust(width)}  {value}" for name, value in rows)
