"""The files of a table that grows.

    part-00012.parquet            rounds from 12 on
    part-00001-00640-1.parquet    what was joined from many such files

A joined file counts from the moment it is there; those that are in it count no more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_NAME = re.compile(r"part-(\d+)(?:-(\d+)-(\d+))?\.parquet")


@dataclass(frozen=True, order=True)
class Part:
    """A file of a growing table."""

    first: int
    """Rounds from this one on; 0 for what was there before a run went on."""
    last: int
    """The first round of the last file that was joined into it; ``first`` where it was not joined."""
    tier: int
    """How often what is in it was joined."""
    path: Path

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.name


def part_name(first: int, last: int | None = None, tier: int = 0) -> str:
    """The name of a file."""
    return f"part-{first:05d}.parquet" if last is None else f"part-{first:05d}-{last:05d}-{tier}.parquet"


def parts_of(folder: Path) -> list[Part]:
    """The files that count, in the order of their rounds. Hidden ones and others are passed over."""
    found = (_part(path) for path in folder.glob("part-*.parquet"))
    return uncovered(part for part in found if part is not None)


def uncovered(parts: Iterable[Part]) -> list[Part]:
    """Those that are in no other one."""
    parts = sorted(parts)
    joined = [part for part in parts if part.tier]
    return [
        part
        for part in parts
        if not any(one.tier > part.tier and one.first <= part.first and part.last <= one.last for one in joined)
    ]


def _part(path: Path) -> Part | None:
    found = _NAME.fullmatch(path.name)
    if found is None:
        return None
    first = int(found[1])
    return Part(first, int(found[2] or first), int(found[3] or 0), path)
