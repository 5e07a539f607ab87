"""Files that are either old and whole or new and whole, whenever the process or the machine dies."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Lets ``write`` fill a hidden file beside ``path``, flushes it to the disk and renames it to ``path``.

    A failure (a full disk) leaves what was there before, and nothing beside it. Readers skip hidden files.

    Raises:
        OSError, pyarrow.ArrowException: whatever ``write`` or the disk raises.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    try:
        write(temporary)
        _flush_to_disk(temporary)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _flush_to_disk(path.parent)


def write_text_atomically(path: Path, text: str) -> None:
    """:func:`write_atomically` for a text, as UTF-8."""
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def _flush_to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
