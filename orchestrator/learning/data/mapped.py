"""Arrays that lie in a file: to another process of the same machine goes the place, not the values."""

from __future__ import annotations

from dataclasses import fields, replace
from mmap import mmap
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.core.errors import DataError
from fedchunk.orchestrator.learning.data.dataset import LoadedDataset


def by_place(dataset: LoadedDataset) -> LoadedDataset:
    """The same data set; of its arrays that are mapped from files only the places are pickled.

    For processes of this machine, which map the same files: the values are then in memory once, as far as they are in
    use, and a data set may be larger than that.
    """
    arrays = {one.name: getattr(dataset, one.name) for one in fields(dataset)}
    mapped = {name: array.view(_ByPlace) for name, array in arrays.items() if _file_of(array) is not None}
    return replace(dataset, **mapped)


class _ByPlace(np.ndarray[Any, Any]):
    def __reduce_ex__(self, protocol: Any) -> Any:
        file = _file_of(self)
        if file is None or not self.flags.c_contiguous:
            return np.asarray(self).__reduce_ex__(protocol)
        offset = file.offset + self.ctypes.data - file.ctypes.data
        return _opened, (str(file.filename), self.dtype.str, self.shape, offset)


def _file_of(array: object) -> np.memmap[Any, Any] | None:
    """The whole mapping that an array is a view of; a view of a mapping calls its offset that of the whole."""
    while isinstance(array, np.ndarray):
        if isinstance(array, np.memmap) and isinstance(array.base, mmap):
            return array
        array = array.base
    return None


def _opened(path: str, dtype: str, shape: tuple[int, ...], offset: int) -> NDArray[Any]:
    try:
        return np.asarray(np.memmap(path, dtype, "r", offset, shape))
    except (OSError, ValueError) as failure:
        raise DataError(f"{Path(path)}: cannot be mapped any more ({failure}); leave it while a run reads it") from None
