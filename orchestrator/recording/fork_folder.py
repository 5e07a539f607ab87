"""The folder of a run that branches off another one: the tables up to a round, and the checkpoint of that round.

Files are never written over, only replaced, so both runs share what is in them where the disk knows hard links.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from fedchunk.orchestrator.core import manifest
from fedchunk.orchestrator.core.errors import ConfigError, Fault, RecordsError
from fedchunk.orchestrator.core.parts import part_name, parts_of
from fedchunk.orchestrator.core.records import ROUND_TABLES
from fedchunk.orchestrator.recording import table_files
from fedchunk.orchestrator.recording.checkpoints import FOLDER, files_of
from fedchunk.orchestrator.recording.run_folder import RunFolder, locked
from fedchunk.orchestrator.settings.whole import Settings


def fork_folder(
    parent: Path, at: int, origin: Mapping[str, Any], path: Path | None, settings: Settings, config_yaml: str
) -> RunFolder:
    """Makes the folder of a fork.

    Args:
        parent: the run that it branches off.
        at: the round after which it does; there must be a checkpoint of it.
        origin: what is recorded of that.
        path: the fork's folder, new or empty; None: a new one below ``runs``.
        settings: the fork's settings.
        config_yaml: the same as the text of a settings file.

    Raises:
        ConfigError: a process is recording into the parent, or the folder cannot be written.
        RecordsError: a table of the parent is damaged.
    """
    lock = locked(parent)
    try:
        folder = RunFolder.create(path, settings, config_yaml, origin)
        try:
            _share(parent, at, folder.path)
            folder.take_over(table_files.recorded(folder.path / "tables"))
            if folder.recorded_to != at:
                raise RecordsError(f"{parent}: the tables end at round {folder.recorded_to}, before round {at}")
        except BaseException:
            folder.close()
            shutil.rmtree(folder.path, ignore_errors=True)  # it was new
            raise
    except (OSError, pa.ArrowException) as error:
        raise ConfigError([Fault(str(parent), "", f"the run cannot be forked ({error})")]) from error
    finally:
        lock.release()
    return folder


def _share(parent: Path, at: int, fork: Path) -> None:
    for name in ROUND_TABLES:
        for source, part in _parts(parent, name):
            _link(source, fork / "tables" / f"{name}.parts" / part)
    table_files.cut(fork / "tables", at)
    for file in files_of(parent / FOLDER, at):
        _link(parent / FOLDER / file, fork / FOLDER / file)


def _parts(run: Path, name: str) -> Iterator[tuple[Path, str]]:
    """The files of a table, and what they are called as parts."""
    file = run / "tables" / f"{name}.parquet"
    if file.is_file():
        manifest.check(run, file)
        yield file, part_name(0)
    else:
        yield from ((part.path, part.name) for part in parts_of(run / "tables" / f"{name}.parts"))


def _link(source: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    to.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        os.link(source, to)
        return
    shutil.copyfile(source, to)
