"""The file that says how a run ended, or that it runs: the first file of a run, and the last that is written."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from pathlib import Path

from fedchunk.orchestrator.contract.ports import RunSummary
from fedchunk.orchestrator.core.masking import mask_settings
from fedchunk.orchestrator.core.target import OWN_COLUMNS
from fedchunk.orchestrator.recording.atomic import write_text_atomically

_SUMMARY_BYTES = 4096
"""The first summary is padded to this: where the disk is full, the last one is written over it."""


def summary_json(summary: RunSummary) -> str:
    """The summary as JSON; a number that JSON does not have (nan, inf) becomes null, addresses are masked."""
    values = dataclasses.asdict(summary)
    if summary.forked_from is None:
        del values["forked_from"]
    if summary.target_metric == "accuracy":
        for name in ("target_metric", "target", "client_target_mean"):
            del values[name]
    if summary.own_target_mean is None:
        for name in OWN_COLUMNS:
            del values[name]
    for key, value in values.items():
        if isinstance(value, float) and not math.isfinite(value):
            values[key] = None
    return json.dumps(mask_settings(values), indent=2, allow_nan=False)


def claim(folder: Path) -> None:
    """The first file of a run: whoever makes it has the folder. Raises FileExistsError for whoever comes second."""
    with (folder / "summary.json").open("x", encoding="utf-8") as file:
        file.write((summary_json(running()) + "\n").ljust(_SUMMARY_BYTES))


def running() -> RunSummary:
    """Of a run that has not ended."""
    return RunSummary("running", 0, None, None, None, 0, 0, 0, 0, 0.0, None)


def write_summary(folder: Path, summary: RunSummary) -> None:
    """Replaces the summary. Raises OSError."""
    text = summary_json(summary) + "\n"
    try:
        write_text_atomically(folder / "summary.json", text)
    except OSError:
        with (folder / "summary.json").open("r+b") as file:  # no room for a second one: over the first
            content = text.encode().ljust(_SUMMARY_BYTES)
            if file.write(content) != len(content):
                raise
            file.flush()
            os.fsync(file.fileno())
