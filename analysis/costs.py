"""What a comparison holds a metric against: bytes, or time; how each is read off a group, and put on an axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fedchunk.analysis.comparison import Comparison, Group
from fedchunk.analysis.text import bytes_text, time_text

UNITS_S = ((120.0, 1.0, "seconds"), (7200.0, 60.0, "minutes"), (48 * 3600.0, 3600.0, "hours"))
"""Up to which longest time an axis has which unit."""


@dataclass(frozen=True)
class Cost:
    """One thing that is paid with."""

    name: str
    label: str
    """Of the axis."""
    unit: float
    """Of what is on the axis, in bytes or seconds."""
    tick: Callable[[float], str]
    """A number of the axis as text."""
    text: Callable[[float], str]
    """Bytes or seconds as text."""
    of_run: Callable[[Group], float]
    """Of whole runs, mean over seeds."""
    to_target: Callable[[Group], float | None]
    """Up to the target; None where a seed missed it."""
    of_seeds: Callable[[Group], Sequence[float]]
    """Up to the target, of each seed that reached it."""
    target_text: Callable[[Group], str]


BYTES = Cost(
    name="bytes",
    label="bytes (log)",
    unit=1.0,
    tick=bytes_text,
    text=bytes_text,
    of_run=lambda group: group.mean_bytes("total_bytes"),
    to_target=lambda group: group.bytes_to_target,
    of_seeds=lambda group: [spent for _, spent in group.reached],
    target_text=lambda group: group.to_target_text,
)


def time_of(comparison: Comparison) -> Cost:
    """Time, in a unit that fits the longest run."""
    longest = max(group.mean_seconds for group in comparison.groups)
    unit, name = next(((unit, name) for most, unit, name in UNITS_S if longest <= most), (86_400.0, "days"))
    return Cost(
        name="time",
        label=f"{name} (log), {comparison.time_source}",
        unit=unit,
        tick=lambda value: f"{value:g}",
        text=time_text,
        of_run=lambda group: group.mean_seconds,
        to_target=lambda group: group.seconds_to_target,
        of_seeds=lambda group: group.seconds_reached,
        target_text=lambda group: group.time_to_target_text,
    )
