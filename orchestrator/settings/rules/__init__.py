"""Rules that join several settings: what contradicts itself is refused, what has no effect is said aloud.

One module for each topic (``general``, ``tasks``, ``chunks``, ``receivers``, ``peers``), each with up to three kinds of
rules: contradictions, idle settings, and suspicions (values that are rarely meant).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedchunk.orchestrator.settings.rules import chunks, general, peers, receivers, tasks
from fedchunk.orchestrator.settings.rules.remark import Remark

if TYPE_CHECKING:
    from fedchunk.orchestrator.settings.joined import Sections

__all__ = ["Remark", "contradictions", "without_effect"]


def contradictions(settings: Sections) -> list[Remark]:
    """What cannot be meant, or cannot be run. Each names all the settings it depends on."""
    return [remark for topic in (chunks, receivers, peers, general, tasks) for remark in topic.contradictions(settings)]


def without_effect(settings: Sections) -> list[Remark]:
    """Settings that were changed and change nothing, and values that are rarely meant."""
    idle = [
        Remark(keys, f"{_no_effect(keys)} {reason}")
        for topic in (chunks, receivers, peers, general, tasks)
        for candidates, reason in topic.idle(settings)
        if (keys := settings.changed(candidates))
    ]
    return [*idle, *(remark for topic in (chunks, receivers, general) for remark in topic.suspicions(settings))]


def _no_effect(keys: tuple[str, ...]) -> str:
    others = f" (nor {'has' if len(keys) == 2 else 'have'} {', '.join(keys[1:])})" if len(keys) > 1 else ""
    return f"has no effect{others}:"
