"""The trials of a sweep and where each stands: what is missing is in their folders, not in anybody's memory.

<sweep>/sweep.json        the axes, and MLflow's name of the parent run
<sweep>/trials/<name>/    the run's folder of each trial
<sweep>/comparison/       tables, figures and page of all that finished
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedchunk.orchestrator.core.errors import ConfigError, Fault
from fedchunk.orchestrator.core.masking import mask_settings
from fedchunk.orchestrator.recording.atomic import write_text_atomically
from fedchunk.orchestrator.resuming import MAY_CHANGE
from fedchunk.orchestrator.settings.whole import Settings

LONGEST_NAME = 120
DONE = ("finished",)


@dataclass(frozen=True)
class Trial:
    """One run of a sweep."""

    name: str
    point: Mapping[str, Any]
    """What is different of its settings."""
    settings: Settings
    folder: Path

    @property
    def summary(self) -> dict[str, Any]:
        """How it ended, if it did; empty where it never began or cannot be read."""
        try:
            values: dict[str, Any] = json.loads((self.folder / "summary.json").read_text(encoding="utf-8"))
            return values
        except (OSError, ValueError):
            return {}

    @property
    def is_done(self) -> bool:
        """Whether nothing of it is missing."""
        return self.summary.get("status") in DONE and not self.summary.get("unwritten")

    @property
    def has_begun(self) -> bool:
        """Whether its folder is there."""
        return (self.folder / "config.json").is_file()


def trial_name(point: Mapping[str, Any]) -> str:
    """A name that says what is different, and can be a folder's.

    Example:
        >>> trial_name({"random_seed": 1, "chunk_score": "./mine.py:signed"})
        'random_seed-1_chunk_score-mine.py-signed'
    """
    words = "_".join(f"{key}-{_word(value)}" for key, value in point.items())
    name = re.sub(r"[^A-Za-z0-9._+-]+", "-", words)
    if len(name) <= LONGEST_NAME:
        return name
    return f"{name[: LONGEST_NAME - 9]}-{hashlib.sha256(words.encode()).hexdigest()[:8]}"


def _word(value: Any) -> str:
    if callable(value):
        return str(getattr(value, "__qualname__", type(value).__qualname__))
    return json.dumps(value).strip('"').removeprefix("./") if not isinstance(value, str) else value.removeprefix("./")


def open_sweep(folder: Path, trials: Sequence[Trial]) -> None:
    """Makes the sweep's folder, or looks whether what is there already belongs to these trials.

    Raises ConfigError: the folder holds something else, or a trial of this name with other settings.
    """
    note = folder / "sweep.json"
    if folder.exists() and any(folder.iterdir()) and not note.is_file():
        raise ConfigError(
            [Fault("--output", "", f"{folder} holds something that is no sweep; give a new folder, or the sweep's own")]
        )
    faults = [fault for trial in trials if (fault := _difference(trial)) is not None]
    if faults:
        raise ConfigError(faults)
    try:
        (folder / "trials").mkdir(parents=True, exist_ok=True)
        known = read_note(folder)
        names = sorted({*known.get("trials", []), *(trial.name for trial in trials)})
        write_text_atomically(note, json.dumps({**known, "trials": names}, indent=2) + "\n")
    except OSError as error:
        raise ConfigError(
            [Fault("--output", "", f"{folder} cannot be written ({error}); choose another one")]
        ) from error


def read_note(folder: Path) -> dict[str, Any]:
    """What is noted of a sweep; empty for a new one."""
    try:
        values: dict[str, Any] = json.loads((folder / "sweep.json").read_text(encoding="utf-8"))
        return values
    except (OSError, ValueError):
        return {}


def note(folder: Path, **values: Any) -> None:
    """Adds to what is noted. Raises OSError."""
    write_text_atomically(folder / "sweep.json", json.dumps({**read_note(folder), **values}, indent=2) + "\n")


def _difference(trial: Trial) -> Fault | None:
    """What is recorded under the trial's name with other settings; None if nothing is."""
    if not trial.has_begun:
        return None
    try:
        recorded = json.loads((trial.folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        return Fault(str(trial.folder), "", f"cannot be read ({error}); remove the folder to run the trial again")
    now = json.loads(json.dumps(mask_settings(trial.settings.flat())))
    other = [key for key, value in now.items() if key not in MAY_CHANGE and recorded.get(key) != value]
    if not other:
        return None
    key = other[0]
    message = f"is recorded with {recorded.get(key)!r}, now it is {now[key]!r}; use another --output"
    return Fault(str(trial.folder), key, message)
