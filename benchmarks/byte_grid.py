"""The grid of accuracy_per_byte.py: all points, in the order in which they run, and what they must reach."""

from __future__ import annotations

from fnmatch import fnmatch

import byte_partial
import byte_peers
import byte_rivals
import byte_second
import byte_star
from byte_points import BASELINE, Point

GRID = (
    byte_star.FULL,
    *byte_star.OURS,
    *byte_partial.QUARTER_POINTS,
    *byte_peers.POINTS,
    *byte_partial.SELDOM_POINTS,
    *byte_partial.TENTH_POINTS,
    *byte_rivals.POINTS,
    *byte_second.POINTS,
    *byte_star.RIVALS,
)
"""An interrupted grid has its baselines and its targets."""
TRIALS = tuple(trial for point in GRID for trial in point.trials())
TARGETS = (*byte_star.TARGETS, *byte_partial.TARGETS, *byte_peers.TARGETS, *byte_second.TARGETS)
_BY_NAME = {point.name: point for point in (*GRID, *TRIALS)}


def point_of(name: str) -> Point | None:
    """The point or trial with a name; None where there is none any more."""
    return _BY_NAME.get(name)


def baseline_of(name: str) -> str:
    """The full exchange that a point is measured against."""
    return _BY_NAME[name].baseline if name in _BY_NAME else BASELINE


def chosen(pattern: str, seeds: tuple[int, ...] | None, *, trials: bool = False) -> list[tuple[Point, int]]:
    """The runs of the points whose names match ``pattern``, with their own seeds or the given ones.

    Args:
        trials: those that settings are chosen by, instead; they have the tuning seed.
    """
    points = [point for point in (TRIALS if trials else GRID) if fnmatch(point.name, pattern)]
    return [(point, seed) for point in points for seed in (point.seeds if trials or seeds is None else seeds)]
