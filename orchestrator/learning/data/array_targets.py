"""Arrays as targets that are no labels, each fault with its place in the file."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.core.errors import DataError
from fedchunk.orchestrator.learning.data.array_files import ArrayFile

SHAPES = {
    "values": ((1, 2), "a number for each sample, (S,), or some, (S, d)"),
    "flags": ((2,), "0 or 1 for each label, (S, L)"),
    "tokens": ((2,), "the next token at each place, (S, T)"),
}
"""Axes that targets may have, and what they are in words."""


def array_targets(file: ArrayFile, name: str, task_targets: str) -> NDArray[Any]:
    """The targets of a file, mapped if the file is.

    Args:
        file: the arrays.
        name: ``train_y`` or ``test_y``.
        task_targets: ``values``, ``flags`` or ``tokens``; anything else: the task looks at them itself.

    Raises:
        DataError: they have another shape or type; or of the first value that is none.
    """
    y = file.samples(name)
    if task_targets not in SHAPES:
        return y
    axes, wanted = SHAPES[task_targets]
    if y.ndim not in axes:
        raise DataError(f"{file.at(name)}: has shape {y.shape}; wanted is {wanted}")
    if task_targets == "tokens" and y.dtype.kind not in "ui":
        raise DataError(f"{file.at(name)}: is of type {y.dtype}; tokens are whole numbers from 0")
    if task_targets != "values":
        wrong = (y != 0) & (y != 1) if task_targets == "flags" else y < 0
        if wrong.any():
            place = tuple(int(at) for at in np.argwhere(wrong)[0])
            allowed = "each is 0 or 1" if task_targets == "flags" else "tokens are whole numbers from 0"
            raise DataError(f"{file.at(name, ', '.join(map(str, place)))}: is {y[place]}; {allowed}")
    return y
