"""How a process keeps memory, and what the garbage collector looks at."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of malloc.h
_LARGEST_MMAP_THRESHOLD = 32 << 20
"""glibc takes no more."""


def keep_freed_memory() -> None:
    """Asks the C library to keep what is freed for what comes next, instead of giving it back to the system.

    Arrays of megabytes come and go with every client. New pages for them are filled with zeros first: that took
    longer than everything a round writes into them. A process stays as large as it once was.
    """
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
        if mallopt is not None:
            mallopt(_TRIM_THRESHOLD, 1 << 30)
            mallopt(_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)


@contextmanager
def uncollected() -> Iterator[None]:
    """No garbage collection in here: for imports.

    It finds nothing in modules, but while they are imported goes through all of them again and again: a tenth of the
    time of torch, half of the time of what is imported after it. At the end all that lives counts as old, or the next
    collection, which is for the young, would go through it once more.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if not gc.get_freeze_count():  # else it would give back what somebody has set aside
            gc.freeze()
            gc.unfreeze()
        if collects:
            gc.enable()


def set_aside() -> None:
    """From here on full collections pass over all objects that exist now (:func:`gc.freeze`).

    Some 350,000 are there once all is imported, and a collection that looks at each takes some 30 ms.
    """
    gc.collect()  # what is garbage now would stay for good
    gc.freeze()


@contextmanager
def spared_collections() -> Iterator[None]:
    """:func:`set_aside`, in here only; a process that has frozen objects itself is left as it is."""
    if gc.get_freeze_count():
        yield
        return
    set_aside()
    try:
        yield
    finally:
        gc.unfreeze()
