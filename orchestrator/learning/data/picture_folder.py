"""A folder of pictures by class: which files it has, and which of them are for the test. Opens none of them.

folder/train/<class>/*.png and folder/test/<class>/*.png, or folder/<class>/*.png
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.core.errors import DataError
from fedchunk.orchestrator.learning.data.places import some
from fedchunk.orchestrator.learning.data.split import drawn_test, one_test_set

SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
"""Those that torchvision's ImageFolder takes for pictures. Other files are no business of ours."""


@dataclass(frozen=True)
class Pictures:
    """Files of pictures with the labels of their classes."""

    files: tuple[str, ...]
    """Absolute."""
    labels_S: NDArray[np.int64]

    def those(self, wanted: NDArray[np.bool_]) -> Pictures:
        """Some of them."""
        return Pictures(tuple(self.files[place] for place in np.flatnonzero(wanted)), self.labels_S[wanted])


@dataclass(frozen=True)
class PictureFolder:
    """What a folder of pictures holds."""

    classes: tuple[str, ...]
    """Names of the classes; the place is the label."""
    train: Pictures
    test: Pictures


def look_into(root: Path, test_share: float | None, test_seed: int) -> PictureFolder:
    """The pictures of a folder, in the order of their names within their classes.

    Pictures that are numbered throughout, whatever their class, keep that order.

    Raises:
        DataError: the folder is not there, has no picture, or a class is empty or unknown; the message names it.
        ConfigError: a share is to be tested, and there is a test set.
    """
    if not root.is_dir():
        raise DataError(f"{root.absolute()}: there is no such folder; data_dir and the option folder say where it is")
    train_root, test_root = root / "train", root / "test"
    if not train_root.is_dir():
        if test_root.is_dir():
            raise DataError(f"{root}: has a folder test, but no folder train")
        train_root = root
    classes = _folders(train_root)
    everything = _pictures(train_root, classes)
    if test_root.is_dir() and train_root != root:
        one_test_set(f"the folder {test_root}", test_share)
        return PictureFolder(classes, everything, _pictures(test_root, _tested(test_root, classes), classes))
    is_test = drawn_test(everything.labels_S, test_share, test_seed, train_root)
    return PictureFolder(classes, everything.those(~is_test), everything.those(is_test))


def _tested(test_root: Path, classes: Sequence[str]) -> tuple[str, ...]:
    """The classes of a test set, which are some of those that are trained."""
    tested = _folders(test_root)
    if unknown := [name for name in tested if name not in classes]:
        raise DataError(f"{test_root / unknown[0]}: there is no class {unknown[0]!r} to train, only {some(classes)}")
    return tested


def _folders(root: Path) -> tuple[str, ...]:
    """The class folders, by name as torchvision orders them."""
    entries = [entry for entry in os.scandir(root) if not entry.name.startswith(".")]
    if strays := sorted(entry.name for entry in entries if entry.is_file() and _is_picture(entry.name)):
        raise DataError(f"{root / strays[0]}: lies in no class; each picture lies in the folder of its class")
    names = tuple(sorted(entry.name for entry in entries if entry.is_dir()))
    if not names:
        raise DataError(f"{root}: has no folder for each class, with its pictures in it")
    return names


def _pictures(root: Path, names: Sequence[str], classes: Sequence[str] | None = None) -> Pictures:
    label_of = {name: label for label, name in enumerate(classes or names)}
    found: list[tuple[str, str]] = []
    for name in names:
        own = _below(root / name)
        if not own:
            raise DataError(
                f"{root / name}: the class has no picture ({', '.join(SUFFIXES)}); fill or remove its folder"
            )
        found += [(inner, name) for inner in own]
    found.sort()
    labels = np.array([label_of[name] for _, name in found], np.int64)
    at = str(root.absolute())
    return Pictures(tuple(os.path.join(at, name, inner) for inner, name in found), labels)


def _below(folder: Path) -> list[str]:
    """Pictures in a folder and below it, by their paths from there."""
    found = []
    for at, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        inner = "" if at == str(folder) else os.path.relpath(at, folder)
        found += [os.path.join(inner, name) for name in names if _is_picture(name)]
    return found


def _is_picture(name: str) -> bool:
    return name.lower().endswith(SUFFIXES) and not name.startswith(".")
