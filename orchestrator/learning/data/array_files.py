"""Arrays by name in files: .npz, a folder of .npy, .safetensors. The latter two are mapped, not read."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from fedchunk.orchestrator.core.errors import DataError
from fedchunk.orchestrator.learning.data.places import some

DTYPES = {
    "BOOL": "?", "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4", "U64": "<u8",
    "I64": "<i8", "F16": "<f2", "F32": "<f4", "F64": "<f8",
}  # fmt: skip
"""The types of safetensors that numpy has, too."""

BLOCK_BYTES = 1 << 24
"""Values are looked at by so many bytes: a mapped array need not fit into memory."""

Opened = Mapping[str, Callable[[], NDArray[Any]]]
"""What a file has: each array is read, or mapped, when it is asked for."""


class ArrayFile:
    """Arrays by name."""

    def __init__(self, path: Path) -> None:
        """Opens the file or folder. Raises DataError where it is none of the three kinds, or is damaged."""
        self.path = path
        if not path.exists():
            raise DataError(f"{path.absolute()}: is not there; the option file names it, counted from data_dir")
        if path.is_dir():
            self._arrays: Opened = _of_folder(path)
        elif path.suffix == ".npz":
            self._arrays = _of_npz(path)
        elif path.suffix == ".safetensors":
            self._arrays = _of_safetensors(path)
        else:
            raise DataError(
                f"{path}: is no file of arrays that can be read; give .npz, .safetensors or a folder of .npy"
            )

    def at(self, name: str, index: object = None) -> str:
        """A place for a message."""
        where = self.path / f"{name}.npy" if self.path.is_dir() else self.path
        place = name if index is None else f"{name}[{index}]"
        return f"{where}: {place}"

    def __contains__(self, name: str) -> bool:
        return name in self._arrays

    def get(self, name: str) -> NDArray[Any]:
        """An array of at least one value along its first axis. Raises DataError where there is none, or no numbers."""
        if name not in self._arrays:
            has = some(sorted(self._arrays)) or "no array"
            raise DataError(f"{self.path}: has no {name}; it has {has}; wanted are train_x, train_y, test_x, test_y")
        try:
            array = self._arrays[name]()
        except (ValueError, OSError, EOFError, zipfile.BadZipFile) as failure:
            raise DataError(
                f"{self.at(name)}: cannot be read ({failure}); write it again, without objects"
            ) from failure
        if array.ndim == 0 or len(array) == 0:
            raise DataError(f"{self.at(name)}: is empty; it has shape {array.shape}")
        return array

    def samples(self, name: str) -> NDArray[Any]:
        """Samples of finite numbers. Raises DataError of the first that is none."""
        x = self.get(name)
        if x.dtype.kind not in "uifb":
            raise DataError(f"{self.at(name)}: is of type {x.dtype}; numbers are wanted")
        if x.size == 0:
            raise DataError(f"{self.at(name)}: has samples of shape {x.shape[1:]}, which hold nothing")
        if x.dtype.kind == "f":
            self._check_finite(name, x)
        return x

    def _check_finite(self, name: str, x: NDArray[Any]) -> None:
        rows = max(1, BLOCK_BYTES // max(1, x[:1].nbytes))
        for start in range(0, len(x), rows):
            with np.errstate(over="ignore"):
                wrong = ~np.isfinite(x[start : start + rows].astype(np.float32, copy=False))
            if wrong.any():
                place = np.argwhere(wrong)[0]
                place[0] += start
                index = ", ".join(map(str, place))
                value = x[tuple(place)]
                raise DataError(f"{self.at(name, index)}: is {value}; numbers are finite, also as float32")


def _of_folder(folder: Path) -> Opened:
    files = sorted(folder.glob("*.npy"))
    if not files:
        raise DataError(f"{folder}: has no .npy file; wanted are train_x.npy, train_y.npy, test_x.npy, test_y.npy")
    return {file.stem: _mapping(file) for file in files}


def _mapping(file: Path) -> Callable[[], NDArray[Any]]:
    return lambda: np.asarray(np.load(file, mmap_mode="r", allow_pickle=False))


def _of_npz(path: Path) -> Opened:
    try:
        opened = np.load(path, allow_pickle=False)
        return {name: _member(opened, name) for name in opened.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, AttributeError) as failure:
        raise DataError(f"{path}: cannot be read as .npz ({failure}); write it again") from failure


def _member(opened: Any, name: str) -> Callable[[], NDArray[Any]]:
    return lambda: np.asarray(opened[name])


def _of_safetensors(path: Path) -> Opened:
    try:
        with safe_open(path, framework="numpy") as opened:  # checks the header and the file's length
            names = list(opened.keys())
    except (SafetensorError, OSError) as failure:
        raise DataError(f"{path}: cannot be read as safetensors ({failure}); write it again") from failure
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    return {name: _tensor(path, header[name], 8 + length) for name in names}


def _tensor(path: Path, described: Mapping[str, Any], start: int) -> Callable[[], NDArray[Any]]:
    """A view of the file where safetensors has the tensor: its own reader for numpy would copy it."""

    def mapped() -> NDArray[Any]:
        dtype, shape = DTYPES.get(described["dtype"]), tuple(described["shape"])
        if dtype is None:
            raise ValueError(f"numpy has no {described['dtype']}")
        if 0 in shape:
            return np.empty(shape, dtype)
        offset = start + described["data_offsets"][0]
        return np.asarray(np.memmap(path, dtype, mode="r", offset=offset, shape=shape))

    return mapped
