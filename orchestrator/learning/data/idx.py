"""A reader of IDX files, the format of MNIST and Fashion-MNIST, plain or gzipped.

Our own, because torchvision reads only unpacked files in its own folders, and Debian ships gzipped ones. Source of the
format: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits", section "File formats".
"""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.core.errors import DataError

UNSIGNED_BYTE = 0x08
"""The only value type that these data sets use."""

MAX_BYTES = 2**32
"""A header that promises more than 4 GiB is a broken header: the largest of these files holds 47 MB."""


def read_idx(path: Path) -> NDArray[np.uint8]:
    """The array in an IDX file of unsigned bytes; gzipped if its name ends in ``.gz``.

    Raises:
        DataError: the file is not IDX, holds other values than bytes, or is shorter or longer than its header says.
    """
    try:
        with _open(path) as stream:
            shape = _read_shape(stream, path)
            expected = math.prod(shape)
            data = stream.read(expected + 1)  # one more, to notice a file that goes on
    except (OSError, EOFError, zlib.error) as failure:
        raise DataError(f"{path}: cannot be read ({failure}); fetch the file again") from failure
    if len(data) != expected:
        found = f"only {len(data)}" if len(data) < expected else "more"
        raise DataError(f"{path}: the header says {shape}, so {expected} bytes, found {found}; fetch the file again")
    return np.frombuffer(data, dtype=np.uint8).reshape(shape)


def read_images_and_labels(images: Path, labels: Path, num_classes: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Images (S, 1, h, w) and labels (S,) of a pair of IDX files.

    Raises:
        DataError: a file is corrupt, the two do not fit each other, or a label is ``num_classes`` or more.
    """
    x, y = read_idx(images), read_idx(labels)
    if x.ndim != 3 or x.size == 0:
        raise DataError(f"{images}: expected images of shape (samples, height, width), got {x.shape}")
    if y.ndim != 1:
        raise DataError(f"{labels}: expected labels of shape (samples,), got {y.shape}")
    if len(x) != len(y):
        raise DataError(f"{images} holds {len(x)} images, {labels} holds {len(y)} labels; fetch both again")
    if y.max() >= num_classes:
        raise DataError(f"{labels}: found label {y.max()}, allowed are 0 to {num_classes - 1}; fetch the file again")
    return x[:, np.newaxis], y.astype(np.int64)


def _open(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb"))


def _read_shape(stream: BinaryIO, path: Path) -> tuple[int, ...]:
    """The shape from the header: two zero bytes, the value type, the number of dimensions, then each dimension."""
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] != UNSIGNED_BYTE or magic[3] == 0:
        raise DataError(f"{path}: not an IDX file of bytes: it begins with {magic.hex() or 'nothing'}, not 000008..")
    dimensions = stream.read(4 * magic[3])
    if len(dimensions) < 4 * magic[3]:
        raise DataError(f"{path}: the header is cut off; fetch the file again")
    shape = tuple(int(size) for size in np.frombuffer(dimensions, dtype=">u4"))
    if math.prod(shape) > MAX_BYTES:
        raise DataError(f"{path}: the header says {shape}, more than {MAX_BYTES} bytes; fetch the file again")
    return shape
