"""The files of a run that has ended, each with its SHA-256: whoever reads one notices that it is not what was written.

manifest.json   {"files": {"tables/rounds.parquet": "<sha256>", ...}, "sha256": "<of files>"}; written last
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path

from fedchunk.orchestrator.core.errors import RecordsError

NAME = "manifest.json"


def manifest_text(folder: Path, files: Iterable[Path]) -> str:
    """The manifest of these files of a folder. Raises OSError."""
    digests = {file.relative_to(folder).as_posix(): digest_of(file) for file in sorted(files)}
    return json.dumps({"files": digests, "sha256": _digest_of_all(digests)}, indent=1) + "\n"


def check(folder: Path, file: Path) -> None:
    """Compares a file of a run's folder with the manifest; a run that has not ended, or that file, may have none.

    Raises:
        RecordsError: the file, or the manifest itself, is not what was written.
    """
    manifest = folder / NAME
    if not manifest.is_file():
        return
    stamp = manifest.stat()
    expected = _digests(manifest, stamp.st_mtime_ns).get(file.relative_to(folder).as_posix())
    if expected is None:
        return
    try:
        found = digest_of(file)
    except OSError as error:
        raise RecordsError(f"{file}: cannot be read ({error}); restore it, or repeat the run") from error
    if found != expected:
        raise RecordsError(
            f"{file}: is damaged: its SHA-256 is not the one in {manifest.name}; restore it, or repeat the run"
        )


def digest_of(file: Path) -> str:
    """SHA-256 of a file, in hexadecimal. Raises OSError."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


@lru_cache(maxsize=256)
def _digests(manifest: Path, changed_ns: int) -> Mapping[str, str]:
    """The manifest's files; ``changed_ns`` says which version of it is meant."""
    try:
        values = json.loads(manifest.read_text(encoding="utf-8"))
        digests: dict[str, str] = values["files"]
        sound = values["sha256"] == _digest_of_all(digests)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RecordsError(
            f"{manifest}: is damaged ({error}); restore it, or delete it if the rest is sound"
        ) from error
    if not sound:
        raise RecordsError(f"{manifest}: is damaged: it is not what was written; restore it, or delete it")
    return digests


def _digest_of_all(digests: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()
