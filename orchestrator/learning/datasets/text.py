"""Text as bytes, for task language_model: each file of a folder is a client (data_distribution_kind: natural)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.core.errors import DataError
from fedchunk.orchestrator.learning.data.dataset import Dataset
from fedchunk.orchestrator.learning.data.places import below
from fedchunk.orchestrator.learning.data.split import one_test_set
from fedchunk.orchestrator.settings.option_types import Count, TestShare

VOCABULARY = 256
"""Kinds of bytes: no tokenizer has to be made, and none comes from anywhere."""
TEST_SHARE = 0.1
SUFFIX = ".txt"


def text(
    data_dir: Path,
    train: str = "text",
    test: str | None = None,
    length: Count = 64,
    test_share: TestShare | None = None,
) -> Dataset:
    """Samples of ``length`` bytes in int64, (S, T), and as targets the byte behind each of them, (S, T).

    A file of n bytes is (n - 1) / length samples, rounded down, side by side; what is left at its end is dropped.

    Args:
        data_dir: where files and folders count from.
        train: a file, or a folder whose .txt files are read in the order of their names.
        test: the same for the test set; None: the last samples of each training file.
        length: T, bytes of a sample.
        test_share: of each file, where test is not given; None: a tenth.
    """
    documents = _documents(below(data_dir, train), length)
    if test is not None:
        one_test_set(test, test_share)
        tested = _stacked(_documents(below(data_dir, test), length), length)
        return _dataset(documents, [len(one.starts) for one in documents], tested, length)
    share = TEST_SHARE if test_share is None else test_share
    kept = [len(one.starts) - round(share * len(one.starts)) for one in documents]
    behind = [_Document(one.path, one.content, one.starts[n:]) for one, n in zip(documents, kept, strict=True)]
    if not any(len(one.starts) for one in behind):
        raise DataError(f"{below(data_dir, train)}: a test_share of {share:g} is not one sample of any file; give more")
    return _dataset(documents, kept, _stacked(behind, length), length)


@dataclass(frozen=True)
class _Document:
    """A file."""

    path: Path
    content: NDArray[np.uint8]
    starts: NDArray[np.int64]
    """Of its samples."""


def _documents(path: Path, length: int) -> list[_Document]:
    files = sorted(path.glob(f"*{SUFFIX}")) if path.is_dir() else [path]
    if not files:
        raise DataError(f"{path.absolute()}: has no {SUFFIX} file; each is a document")
    return [_document(file, length) for file in files]


def _document(file: Path, length: int) -> _Document:
    try:
        content = np.frombuffer(file.read_bytes(), np.uint8)
    except OSError as failure:
        raise DataError(
            f"{file.absolute()}: cannot be read ({failure.strerror}); it should be a file of text"
        ) from None
    if len(content) <= length:
        raise DataError(
            f"{file.absolute()}: has {len(content):,} bytes, but a sample is {length} and the one behind them; "
            "give a smaller length, or remove it"
        )
    return _Document(file, content, np.arange((len(content) - 1) // length) * length)


def _stacked(documents: Sequence[_Document], length: int) -> NDArray[np.int64]:
    """All samples with the byte behind each, (S, T + 1)."""
    places_T = np.arange(length + 1)
    return np.concatenate([one.content[one.starts[:, np.newaxis] + places_T] for one in documents]).astype(np.int64)


def _dataset(documents: Sequence[_Document], kept: Sequence[int], tested_ST: NDArray[np.int64], length: int) -> Dataset:
    trained = [_Document(one.path, one.content, one.starts[:n]) for one, n in zip(documents, kept, strict=True)]
    empty = next((one for one in trained if not len(one.starts)), None)
    if empty is not None:
        raise DataError(
            f"{empty.path.absolute()}: all of its samples would be tested; give a smaller length or test_share"
        )
    train_ST = _stacked(trained, length)
    clients = np.repeat(np.asarray([one.path.stem for one in trained], np.str_), kept)
    return Dataset(
        train_ST[:, :-1], train_ST[:, 1:], tested_ST[:, :-1], tested_ST[:, 1:], VOCABULARY,
        clients if len(trained) > 1 else None,
    )  # fmt: skip
