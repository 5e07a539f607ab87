"""What a rule has to say."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Remark:
    """Something to say about several settings together, the one to change first."""

    keys: tuple[str, ...]
    message: str


Idle = tuple[tuple[str, ...], str]
"""Settings that nothing reads as things are, and the reason."""
