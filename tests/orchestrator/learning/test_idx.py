from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from fedchunk.orchestrator.core.errors import DataError
from fedchunk.orchestrator.learning.data.idx import read_idx, read_images_and_labels


def idx_bytes(array: np.ndarray, magic: bytes | None = None) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) if magic is None else magic
    return header + struct.pack(f">{array.ndim}I", *array.shape) + array.astype(np.uint8).tobytes()


IMAGES = np.arange(2 * 3 * 4).reshape(2, 3, 4)
LABELS = np.array([7, 0])


@given(array=arrays(np.uint8, array_shapes(max_dims=4, max_side=5)), zipped=st.booleans())
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, array: np.ndarray, zipped: bool) -> None:
    path = tmp_path_factory.mktemp("idx") / ("file.gz" if zipped else "file")
    path.write_bytes(gzip.compress(idx_bytes(array)) if zipped else idx_bytes(array))
    np.testing.assert_array_equal(read_idx(path), array)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "begins with nothing"),
        (b"\x89PNG\r\n", "not an IDX file"),
        (idx_bytes(LABELS, magic=b"\0\0\x0d\x01"), "not an IDX file of bytes"),
        (b"\0\0\x08\x03\0\0\0\x01", "header is cut off"),
        (idx_bytes(IMAGES)[:-1], "24 bytes, found only 23"),
        (idx_bytes(IMAGES) + b"x", "24 bytes, found more"),
        (b"\0\0\x08\x03" + b"\xff" * 12, "more than"),
    ],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_a_corrupt_file_is_refused_by_name(tmp_path: Path, content: bytes, message: str, zipped: bool) -> None:
    path = tmp_path / ("broken.gz" if zipped else "broken")
    path.write_bytes(gzip.compress(content) if zipped else content)
    with pytest.raises(DataError, match=message) as caught:
        read_idx(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [b"not gzip at all", gzip.compress(idx_bytes(IMAGES))[:-9], gzip.compress(bytes(9))[:12] + b"\xff" * 20],
    ids=["text", "cut", "garbage"],
)
def test_a_damaged_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "damaged.gz").write_bytes(content)
    with pytest.raises(DataError, match=r"damaged\.gz"):
        read_idx(tmp_path / "damaged.gz")


def write_pair(folder: Path, images: np.ndarray, labels: np.ndarray) -> tuple[Path, Path]:
    (folder / "images").write_bytes(idx_bytes(images))
    (folder / "labels").write_bytes(idx_bytes(labels))
    return folder / "images", folder / "labels"


def test_a_pair_gets_a_channel_and_wide_labels(tmp_path: Path) -> None:
    x, y = read_images_and_labels(*write_pair(tmp_path, IMAGES, LABELS), num_classes=10)
    np.testing.assert_array_equal(x, IMAGES[:, np.newaxis])
    np.testing.assert_array_equal(y, LABELS)
    assert (x.dtype, y.dtype) == (np.uint8, np.int64)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (IMAGES, np.array([1, 2, 3]), "2 images.* 3 labels"),
        (IMAGES, np.array([1, 10]), "found label 10, allowed are 0 to 9"),
        (LABELS, LABELS, "expected images"),
        (IMAGES[:0], LABELS[:0], "expected images"),
        (IMAGES, IMAGES, "expected labels"),
    ],
)
def test_a_pair_that_does_not_fit_is_refused(
    tmp_path: Path, images: np.ndarray, labels: np.ndarray, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        read_images_and_labels(*write_pair(tmp_path, images, labels), num_classes=10)
