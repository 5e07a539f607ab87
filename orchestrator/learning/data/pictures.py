"""Pictures as arrays of bytes: decoded once, to one size, and kept in a file that is mapped from then on."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.core.errors import DataError
from fedchunk.orchestrator.learning.data.kept_file import kept_array, write_header

FORMAT = "1"
"""Of what is kept; goes up when the same pictures are decoded to other bytes."""

MODES = {"1": 1, "L": 1, "LA": 1, "P": 3, "PA": 3, "RGB": 3, "RGBA": 3, "RGBX": 3, "CMYK": 3, "YCbCr": 3}
"""Channels of PIL's kinds of pictures. Those of more than 8 bits are not among them: PIL would clip their values."""

BATCH = 256
"""Pictures that are decoded ahead of the file that they go to."""

LARGE_BYTES = 1 << 15
"""Of the first picture's file: smaller ones are decoded sooner than they are handed to a thread."""


@dataclass(frozen=True)
class Embedded:
    """A picture that lies within a file of many."""

    where: str
    """For messages."""
    content: memoryview
    """What its file would hold."""

    def __str__(self) -> str:
        return self.where


Picture = str | Embedded
"""A picture's file, absolute, or what would be in it."""


@dataclass(frozen=True)
class Decoder:
    """How pictures become arrays."""

    size: int | None
    """Side that they are stretched to, in pixels; None: as they are."""
    channels: int | None
    """1 or 3; None: as they are."""

    def decoded(self, file: Picture) -> NDArray[np.uint8]:
        """One picture, (c, h, w). Raises DataError where it cannot be read."""
        from PIL import Image

        try:
            with Image.open(file if isinstance(file, str) else BytesIO(file.content)) as opened:
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
    return kept_pictures(files, *_names(files, decoder), decoder, cache)


def kept_pictures(
    pictures: Sequence[Picture], place: str, key: str, decoder: Decoder, cache: Path
) -> NDArray[np.uint8]:
    """The same of any pictures; ``place`` says where they are and how they are decoded, ``key`` what they are.

    Raises DataError as :func:`decoded_pictures`.
    """
    write = partial(_write, pictures=pictures, decoder=decoder)
    return kept_array(cache, f"pictures-{place}", key, "decoded pictures", write)


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


def _write(path: Path, pictures: Sequence[Picture], decoder: Decoder) -> None:
    first = decoder.decoded(pictures[0])
    with path.open("wb") as target:
        write_header(target, np.dtype(np.uint8), (len(pictures), *first.shape))
        for place, pixels in enumerate(_all_decoded(pictures, decoder)):
            if pixels.shape != first.shape:
                raise DataError(_unlike(pictures[0], first, pictures[place], pixels))
            target.write(pixels.tobytes())


def _all_decoded(pictures: Sequence[Picture], decoder: Decoder) -> Iterator[NDArray[np.uint8]]:
    first = pictures[0]
    if (os.path.getsize(first) if isinstance(first, str) else first.content.nbytes) < LARGE_BYTES:
        yield from map(decoder.decoded, pictures)
        return
    with ThreadPoolExecutor() as threads:
        for start in range(0, len(pictures), BATCH):
            batch = [pictures[place] for place in range(start, min(start + BATCH, len(pictures)))]
            yield from threads.map(decoder.decoded, batch)


def _unlike(one: Picture, first: NDArray[Any], other: Picture, pixels: NDArray[Any]) -> str:
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
