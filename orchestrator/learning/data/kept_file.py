"""Arrays that are made of the user's files once, and mapped from then on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.core.errors import DataError
from fedchunk.orchestrator.recording.atomic import write_atomically

CACHE = "~/.cache/fedchunk"
"""Where they are kept: a folder among the user's pictures would be a class to others who read them."""


def kept_array(cache: Path, place: str, key: str, what: str, write: Callable[[Path], None]) -> NDArray[Any]:
    """The array of a .npy file below ``cache``, mapped; written where it is not there yet.

    Args:
        cache: a folder, made if need be.
        place: of what it is made; an array of the same as it was before is removed.
        key: what that is now.
        what: for messages.
        write: writes the file.

    Raises:
        DataError: the folder cannot be written.
    """
    kept = cache / f"{place}-{key}.npy"
    found = _mapped(kept)
    if found is not None:
        return found
    try:
        cache.mkdir(parents=True, exist_ok=True)
        write_atomically(kept, write)
        for old in cache.glob(f"{place}-*.npy"):
            if old != kept:
                old.unlink(missing_ok=True)
    except OSError as failure:
        message = f"{what} cannot be written ({failure}); name a folder in the option cache_dir"
        raise DataError(f"{cache}: {message}") from failure
    written = _mapped(kept)
    assert written is not None, "was written just now"
    return written


def write_header(target: BinaryIO, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    """What a .npy file begins with; its values follow. Written and not mapped: on a full disk that is an error, and no
    signal that ends the process."""
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(target, header)


def _mapped(kept: Path) -> NDArray[Any] | None:
    """What is kept; None where there is nothing, or not all of it."""
    try:
        mapped: NDArray[Any] = np.load(kept, mmap_mode="r")
    except (OSError, ValueError):
        return None
    return mapped
