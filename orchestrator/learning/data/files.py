"""Data sets that live in files: where they are looked for, and what to say when they are not there.

Knows no samples: it hands out arrays (train_x, train_y, test_x, test_y). torchvision is imported for CIFAR and for
downloads only.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.core.errors import DataError
from fedchunk.orchestrator.learning.data.idx import read_images_and_labels

Arrays = tuple[NDArray[Any], NDArray[np.int64], NDArray[Any], NDArray[np.int64]]
"""train_x (S, c, h, w), train_y (S,), test_x, test_y."""

IDX_NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


@dataclass(frozen=True)
class IdxDataset:
    """A data set of four IDX files."""

    name: str
    """Ours."""
    torchvision: str
    """The class in torchvision that downloads it; also the folder that it downloads to."""
    num_classes: int
    also_at: tuple[Path, ...] = ()
    """Where the files may lie beside ``data_dir``."""
    package: str = ""
    """What may be said of where to get them."""


def load_idx_dataset(wanted: IdxDataset, data_dir: Path, download: bool) -> Arrays:
    """From the first place that has all four files, downloaded first if allowed and needed.

    Raises:
        DataError: files are missing (it names them, the places and the remedies) or corrupt.
    """
    places = [data_dir / wanted.torchvision / "raw", data_dir, *wanted.also_at]
    found = _find_idx_files(places)
    if found is None and download:
        _download(wanted, data_dir)
        found = _find_idx_files(places)
    if found is None:
        raise DataError(_missing_idx_files(wanted, places))
    train_x, train_y = read_images_and_labels(found[0], found[1], wanted.num_classes)
    test_x, test_y = read_images_and_labels(found[2], found[3], wanted.num_classes)
    if train_x.shape[1:] != test_x.shape[1:]:
        raise DataError(
            f"{found[0]} holds images of {train_x.shape[2:]} pixels, {found[2]} of {test_x.shape[2:]}; fetch both again"
        )
    return train_x, train_y, test_x, test_y


def load_cifar(name: str, torchvision_name: str, data_dir: Path, download: bool) -> Arrays:
    """A CIFAR data set through torchvision, which checks the files' MD5 before it unpickles them.

    Raises:
        DataError: the files are missing or not the published ones.
    """
    import torchvision.datasets

    dataset = getattr(torchvision.datasets, torchvision_name)
    try:
        train, test = (dataset(root=data_dir, train=train, download=download) for train in (True, False))
    except (RuntimeError, OSError) as failure:
        files = ", ".join(file for file, _ in [*dataset.train_list, *dataset.test_list])
        raise DataError(
            f"{name}: files are missing or not the published ones ({failure})\n"
            f"  files: {files}\n"
            f"  looked at: {(data_dir / dataset.base_folder).absolute()}\n"
            f"  what to do: unpack the published archive there, point data_dir at the folder that holds "
            f"{dataset.base_folder}, or set download: true"
        ) from failure
    return *_cifar_arrays(train), *_cifar_arrays(test)


def _cifar_arrays(dataset: Any) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    return np.ascontiguousarray(dataset.data.transpose(0, 3, 1, 2)), np.array(dataset.targets, dtype=np.int64)


def _find_idx_files(places: list[Path]) -> list[Path] | None:
    for place in places:
        files = [_plain_or_gzipped(place / name) for name in IDX_NAMES]
        present = [file for file in files if file is not None]
        if len(present) == len(IDX_NAMES):
            return present
    return None


def _plain_or_gzipped(path: Path) -> Path | None:
    candidates = (path, path.with_name(path.name + ".gz"))
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def _download(wanted: IdxDataset, data_dir: Path) -> None:
    import torchvision.datasets

    try:
        getattr(torchvision.datasets, wanted.torchvision)(root=data_dir, download=True)
    except (RuntimeError, OSError) as failure:
        raise DataError(f"{wanted.name}: the download into {data_dir.absolute()} failed: {failure}") from failure


def _missing_idx_files(wanted: IdxDataset, places: list[Path]) -> str:
    lines = [f"{wanted.name}: files are missing (each may be plain or end in .gz)"]
    for place in places:
        missing = [file for file in IDX_NAMES if _plain_or_gzipped(place / file) is None]
        lines.append(f"  looked at: {place.absolute()}, which lacks {', '.join(missing)}")
    remedies = "put all four files into one of these folders, point data_dir elsewhere, or set download: true"
    remedies += f"; {wanted.package}" if wanted.package else ""
    return "\n".join([*lines, f"  what to do: {remedies}"])
