"""Pictures as arrays of bytes: decoded once, to one size, and kept in a file that is mapped from then on."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.core.errors import DataError
from fedchunk.orchestrator.recording.atomic import write_atomically

CACHE = "~/.cache/fedchunk"
"""Where decoded pictures are kept: a folder among the user's pictures would be a class to others who read them."""

FORMAT = "1"
"""Of what is kept; goes up when the same pictures are decoded to other bytes."""

MODES = {"1": 1, "L": 1, "LA": 1, "P": 3, "PA": 3, "RGB": 3, "RGBA": 3, "RGBX": 3, "CMYK": 3, "YCbCr": 3}
"""Channels of PIL's kinds of pictures. Those of more than 8 bits are not among them: PIL would clip their values."""

BATCH = 256
"""Pictures that are decoded ahead of the file that they go to."""

LARGE_BYTES = 1 << 15
"""Of the first picture's file: smaller ones are decoded sooner than they are handed to a thread."""


@dataclass(frozen=True)
class Decoder:
    """How pictures become arrays."""

    size: int | None
    """Side that they are stretched to, in pixels; None: as they are."""
    channels: int | None
    """1 or 3; None: as they are."""

    def decoded(self, file: str) -> NDArray[np.uint8]:
        """One picture, (c, h, w). Raises DataError where it cannot be read."""
        from PIL import Image

        try:
            with Image.open(file) as opened:
                own = MODES.get(opened.mode)
                if own is None:
                    raise DataError(f"{file}: has pixels of kind {opened.mode}; convert it to 8 bits, grey or RGB")
                picture = opened.convert("L" if (self.channels or own) == 1 else "RGB")
        except DataError:
            raise
        except Exception as failure:  # each format's decoder has exceptions of its own
            raise DataError(f"{file}: cannot be read as a picture ({failure}); replace or remove it") from failure
        if self.size is not None and picture.size != (self.size, self.size):
            picture = picture.resize((self.size, self.size), Image.Resampling.BILINEAR)
        pixels = np.asarray(picture)
        return pixels[np.newaxis] if pixels.ndim == 2 else np.moveaxis(pixels, 2, 0)


def decoded_pictures(files: Sequence[str], decoder: Decoder, cache: Path) -> NDArray[np.uint8]:
    """Pictures (S, c, h, w), mapped from a file below ``cache`` that is written where it is not there yet.

    The file goes by the pictures' names, sizes and times of change; one of the same pictures as they were is removed.

    Args:
        files: at least one, absolute.
        decoder: how they are decoded.
        cache: a folder, made if need be.

    Raises:
        DataError: a picture cannot be read, or is not like the first; or the folder cannot be written.
    """
    place, key = _names(files, decoder)
    kept = cache / f"pictures-{place}-{key}.npy"
    found = _mapped(kept)
    if found is not None:
        return found
    try:
        cache.mkdir(parents=True, exist_ok=True)
        write_atomically(kept, lambda temporary: _write(temporary, files, decoder))
        for old in cache.glob(f"pictures-{place}-*.npy"):
            if old != kept:
                old.unlink(missing_ok=True)
    except OSError as failure:
        message = f"decoded pictures cannot be written ({failure}); name a folder in the option cache_dir"
        raise DataError(f"{cache}: {message}") from failure
    written = _mapped(kept)
    assert written is not None, "was written just now"
    return written


def _names(files: Sequence[str], decoder: Decoder) -> tuple[str, str]:
    """Where the pictures are and how they are decoded, and what they are: as two digests."""
    place, key = hashlib.blake2b(digest_size=8), hashlib.blake2b(digest_size=16)
    # The first and the last file in the order of their paths have in common what all have.
    place.update(os.fsencode(f"{decoder}\0{os.path.commonpath([min(files), max(files)])}"))
    key.update(f"{FORMAT}\0{decoder}".encode())
    for file in files:
        state = _state(file)
        key.update(os.fsencode(f"\0{file}\0{state.st_size}\0{state.st_mtime_ns}"))
    return place.hexdigest(), key.hexdigest()


def _state(file: str) -> os.stat_result:
    try:
        return os.stat(file)
    except OSError as failure:  # a link may lead nowhere
        raise DataError(f"{file}: cannot be read ({failure.strerror}); replace or remove it") from failure


def _mapped(kept: Path) -> NDArray[np.uint8] | None:
    """What is kept; None where there is nothing, or not all of it."""
    try:
        mapped: NDArray[Any] = np.load(kept, mmap_mode="r")
    except (OSError, ValueError):
        return None
    return mapped


def _write(path: Path, files: Sequence[str], decoder: Decoder) -> None:
    first = decoder.decoded(files[0])
    shape = (len(files), *first.shape)
    # Written and not mapped: on a full disk that is an error, and no signal that ends the process.
    with path.open("wb") as target:
        np.lib.format.write_array_header_1_0(target, {"descr": "|u1", "fortran_order": False, "shape": shape})
        for place, pixels in enumerate(_all_decoded(files, decoder)):
            if pixels.shape != first.shape:
                raise DataError(_unlike(files[0], first, files[place], pixels))
            target.write(pixels.tobytes())


def _all_decoded(files: Sequence[str], decoder: Decoder) -> Iterator[NDArray[np.uint8]]:
    if os.path.getsize(files[0]) < LARGE_BYTES:
        yield from map(decoder.decoded, files)
        return
    with ThreadPoolExecutor() as threads:
        for start in range(0, len(files), BATCH):
            yield from threads.map(decoder.decoded, files[start : start + BATCH])


def _unlike(one: str, first: NDArray[Any], other: str, pixels: NDArray[Any]) -> str:
    said = [f"{file}: {_shown(array)}" for file, array in ((one, first), (other, pixels))]
    wanted = ["size"] if first.shape[1:] != pixels.shape[1:] else []
    wanted += ["channels"] if len(first) != len(pixels) else []
    given = " and ".join(f"{option} (such as {_example(option, first)})" for option in wanted)
    return f"pictures are not alike: {said[0]}; {said[1]}; set {given} in dataset_options"


def _shown(pixels: NDArray[Any]) -> str:
    channels, height, width = pixels.shape
    return f"{width} x {height} pixels, {'grey' if channels == 1 else 'colour'}"


def _example(option: str, first: NDArray[Any]) -> str:
    return f"size: {min(first.shape[1:])}" if option == "size" else "channels: 3"
