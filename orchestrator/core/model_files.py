"""The files of a model that lies in a folder: what a run began with, and whether it is still there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path

from fedchunk.orchestrator.core.manifest import digest_of

PATTERNS = ("config.json", "*.safetensors", "*.safetensors.index.json")
"""What transformers makes a model of; other files of its folder change none of its values."""


def model_files(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file of a folder, by name; none where there is no such folder. Raises OSError.

    Within a process a file is read again only if its size or its time of change is another: the trials of a sweep have
    one model.
    """
    names = {file.name for pattern in PATTERNS for file in folder.glob(pattern)}
    return {name: _digest(folder / name) for name in sorted(names)}


def changed_files(folder: Path, before: Mapping[str, str]) -> Iterator[str]:
    """What is no longer as :func:`model_files` said it was, file by file, in words. Raises OSError."""
    now = model_files(folder)
    for name in sorted(before.keys() | now.keys()):
        if name not in now:
            yield f"{folder / name} is gone, which was there"
        elif name not in before:
            yield f"{folder / name} was not there"
        elif now[name] != before[name]:
            yield f"{folder / name} is not what it was"


def _digest(file: Path) -> str:
    state = file.stat()
    return _digest_of_version(file.resolve(), state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=256)
def _digest_of_version(file: Path, size: int, changed_ns: int) -> str:
    """``size`` and ``changed_ns`` say which version of the file is meant."""
    return digest_of(file)
