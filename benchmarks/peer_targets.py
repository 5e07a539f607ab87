"""What fedchunk must reach against its peers, and whether it did."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from peer_results import Results, Spread

Measure = Callable[[Results, int], Spread | None]
"""Of a workload's results and fedchunk's number of actors; None: somebody was not timed."""


@dataclass(frozen=True)
class Target:
    """One figure of one workload."""

    workload: str
    what: str
    must: float
    aim: float
    measure: Measure
    more_is_better: bool

    def verdict(self, value: float) -> str:
        """``aim reached``, ``reached`` or ``missed``."""
        sign = 1 if self.more_is_better else -1
        if sign * value >= sign * self.aim:
            return "aim reached"
        return "reached" if sign * value >= sign * self.must else "**missed**"


def times_as_fast(*peers: str) -> Measure:
    """The shortest round among ``peers`` over fedchunk's."""

    def measure(results: Results, actors: int) -> Spread | None:
        peer = results.fastest(peers)
        return None if peer is None or results.fastest(["fedchunk"]) is None else results.ratio(peer, "fedchunk")

    return measure


def over(name: str, base: str = "fedchunk") -> Measure:
    """A round of ours over another one of ours: the dense one, unless told otherwise."""

    def measure(results: Results, actors: int) -> Spread | None:
        if results.fastest([base]) is None or results.fastest([name]) is None:
            return None
        return results.ratio(name, base)

    return measure


def over_shared_training(results: Results, actors: int) -> Spread | None:
    """fedchunk's round over the loop's training time divided by the actors, which is what no scheduler can beat."""
    if results.fastest(["fedchunk"]) is None or results.fastest(["loop"]) is None:
        return None
    return results.over_training("fedchunk", "loop") * actors


CHUNKS, FEEDBACK = (
    f"{what}: time of a round over our own dense round" for what in ("chunks at 20 %", "8.5 % of short chunks, int4")
)
RELAY = "`relay` with 20 peers: time of a round over our star's with the same chunks"
TARGETS = (
    Target("mlp", "times as fast as Flower", 30, 60, times_as_fast("flower", "flower-lean"), True),
    Target("mlp", "times as fast as pfl-research on all cores", 2.5, 4, times_as_fast("pfl"), True),
    Target("mlp", "times as fast as fedjax, its faster way", 1, 1.5, times_as_fast("fedjax", "fedjax-1"), True),
    Target("cnn", "time of a round over (loop's training time / actors)", 1.12, 1.05, over_shared_training, False),
    *(
        Target(workload, CHUNKS, must, aim, over("fedchunk-chunks"), False)
        for workload, must, aim in (
            ("mlp", 1.25, 1.1),
            ("cnn", 1.08, 1.0),
            ("cnn-again", 1.08, 1.0),
            ("logistic", 1.1, 1.0),
        )
    ),
    *(
        Target(workload, FEEDBACK, must, aim, over("fedchunk-feedback"), False)
        for workload, must, aim in (("mlp", 1.4, 1.2), ("cnn", 1.2, 1.1), ("cnn-again", 1.2, 1.1))
    ),
    *(
        Target(workload, RELAY, 1.5, 1.2, over("fedchunk-relay", "fedchunk-feedback"), False)
        for workload in ("mlp-peers", "cnn-peers")
    ),
)
