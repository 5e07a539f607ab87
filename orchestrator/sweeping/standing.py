"""Where the trials of a sweep stand, and who is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fedchunk.orchestrator.core.target import ACCURACY, Target


@dataclass(frozen=True)
class Standing:
    """Where a trial stands."""

    status: str
    """``waiting``, ``running``, or how it ended: ``finished``, ``failed``, ``interrupted``; ``there`` if it was."""
    round_index: int = 0
    rounds: int = 0
    value: float | None = None
    """Of what the trial is judged by."""
    num_bytes: int = 0
    """Both directions."""
    error: str | None = None
    target: Target = ACCURACY


class Shown:
    """Told of trials; this one shows nothing."""

    def say(self, text: str) -> None:
        """A line for people."""

    def update(self, standings: Mapping[str, Standing]) -> None:
        """Where all trials stand."""
