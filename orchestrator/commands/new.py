"""Writes a small project: settings, a model and a score of one's own, and a few lines to read."""

from __future__ import annotations

import shutil
from pathlib import Path

from fedchunk.orchestrator.core.errors import ConfigError, Fault

CONFIGS = Path(__file__).parents[2] / "configs"
"""The shipped configurations, in a checkout as in an installed package."""
FILES = ("settings.yaml", "mine.py", "README.md")


def write_project(folder: Path) -> list[Path]:
    """Writes the files into a new or empty folder.

    Raises:
        ConfigError: the folder holds something already, or cannot be written.
    """
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ConfigError([Fault("DIR", "", f"{folder} holds something already; give a new folder")])
        folder.mkdir(parents=True, exist_ok=True)
        sources = [*(CONFIGS / "new" / name for name in FILES), CONFIGS / "fedchunk.schema.json"]
        return [Path(shutil.copyfile(source, folder / source.name)) for source in sources]
    except OSError as error:
        raise ConfigError([Fault("DIR", "", f"{folder} cannot be written ({error}); choose another one")]) from error
