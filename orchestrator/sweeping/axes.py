"""From ``sensitivity_percentage=5,10,20 random_seed=1..5``, or a file that says the same, to the settings of trials.

A sweep's file is YAML:

    base: base.yaml                      # a settings file, relative to this one
    axes:                                # every combination
      random_seed: 1..5
      sensitivity_percentage: [5, 10, 20]
    together:                            # axes that depend on each other: each line with every combination
      - {chunk_encoding: int4, learning_rate: 0.1}
      - {chunk_encoding: float32, learning_rate: 0.05}
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fedchunk.orchestrator.core.errors import ConfigError, Fault
from fedchunk.orchestrator.settings.yaml_source import Entry, plain_value, read_document, read_override

KEYS = ("base", "axes", "together")
MOST_TRIALS = 10_000
_RANGE = re.compile(r"(-?\d+)\.\.(-?\d+)")


@dataclass(frozen=True)
class Axes:
    """What differs between trials."""

    axes: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    """Every combination of these."""
    together: Sequence[Mapping[str, Any]] = ()
    """With each combination every one of these; none: nothing more."""

    def points(self) -> list[dict[str, Any]]:
        """The settings of each trial that differ, the last axis first in changing.

        Raises ConfigError: there is none, or there are more than 10,000, or two name the same setting.

        Example:
            >>> Axes({"random_seed": (1, 2)}, [{"k_value": 3}]).points()
            [{'random_seed': 1, 'k_value': 3}, {'random_seed': 2, 'k_value': 3}]
        """
        both = sorted(self.axes.keys() & {key for line in self.together for key in line})
        if both:
            raise ConfigError([Fault("", both[0], "stands in axes and in together; keep one")])
        count = len(self.together or [{}])
        for values in self.axes.values():
            count *= len(values)
        if not 0 < count <= MOST_TRIALS or not (self.axes or self.together):
            what = f"{count} trials" if self.axes or self.together else "no axes"
            raise ConfigError([Fault("", "axes", f"got {what}; give 1 to {MOST_TRIALS}, such as random_seed=1..5")])
        products = itertools.product(*self.axes.values())
        combined = [dict(zip(self.axes, values, strict=True)) for values in products]
        return [{**point, **line} for point in combined for line in (self.together or [{}])]


def axis_values(written: str, value: Any) -> tuple[Any, ...]:
    """The values of an axis: a list, a range of whole numbers, or values with commas between them.

    Example:
        >>> axis_values("1..3", "1..3"), axis_values("a,2,0.5", "a,2,0.5"), axis_values("", [1, 2]), axis_values("7", 7)
        ((1, 2, 3), ('a', 2, 0.5), (1, 2), (7,))
    """
    if isinstance(value, list):
        return tuple(value)
    if isinstance(value, str) and (found := _RANGE.fullmatch(value.strip())):
        first, last = int(found[1]), int(found[2])
        step = 1 if last >= first else -1
        return tuple(range(first, last + step, step))
    if isinstance(value, str) and "," in value:
        return tuple(plain_value(part.strip()) for part in value.split(","))
    return (value,)


def read_axes(overrides: Sequence[str]) -> tuple[Axes, list[str]]:
    """Axes from the command line, and overrides that have one value only. Raises ConfigError."""
    axes: dict[str, tuple[Any, ...]] = {}
    single: list[str] = []
    faults: list[Fault] = []
    for override in overrides:
        entries, found = read_override(override)
        faults += found
        for entry in entries:
            values = axis_values(entry.written, entry.value)
            if len(values) == 1 and not isinstance(entry.value, list):
                single.append(override)
            else:
                axes[entry.key] = values
    if faults:
        raise ConfigError(faults)
    return Axes(axes), single


def read_sweep(path: Path) -> tuple[Path, Axes] | None:
    """The settings file and the axes of a sweep's file; None where ``path`` is a settings file itself.

    Raises ConfigError.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([Fault(str(path), "", f"cannot be read: {error}")]) from None
    entries, faults = read_document(text, str(path))
    if not any(entry.key in ("base", "axes", "together") for entry in entries):
        return None
    faults += _faults(entries)
    if faults:
        raise ConfigError(faults)
    values = {entry.key: entry.value for entry in entries}
    axes = {key: axis_values("", value) for key, value in values.get("axes", {}).items()}
    return path.parent / values["base"], Axes(axes, values.get("together", []))


def _faults(entries: Sequence[Entry]) -> Iterator[Fault]:
    kinds: Mapping[str, tuple[type, str]] = {
        "base": (str, "a settings file"),
        "axes": (dict, "a mapping of settings to values"),
        "together": (list, "a list of mappings of settings to values"),
    }
    if not any(entry.key == "base" for entry in entries):
        yield Fault(entries[0].where, "base", "is missing: the settings file of all trials")
    for entry in entries:
        kind, words = kinds.get(entry.key, (object, ""))
        lines = entry.value if entry.key == "together" and isinstance(entry.value, list) else []
        if entry.key not in kinds:
            yield Fault(entry.where, entry.key, f"no such key of a sweep; allowed: {', '.join(KEYS)}")
        elif not isinstance(entry.value, kind) or not all(isinstance(line, dict) for line in lines):
            yield Fault(entry.where, entry.key, f"expected {words}")
