"""Labels, and what is known of a data set by them alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.core.errors import DataError

LARGEST_LABEL = 1_000_000
"""Beyond, a number is no label: a model would have an output for each that is smaller."""


@dataclass(frozen=True)
class Labels:
    """The training samples without the samples themselves: enough to say who holds what."""

    train_y: NDArray[Any]
    """One label each; of a task of other targets these, (S, ...)."""
    num_classes: int
    clients: NDArray[Any] | None = None
    """Whom each training sample comes from, where the data know."""


def whole_labels(values: NDArray[Any], at: Callable[[int], str], num_classes: int | None) -> NDArray[np.int64]:
    """Labels as whole numbers from 0.

    Args:
        values: one label for each sample, (S,).
        at: says where the label with this index is: file and row.
        num_classes: how many there are; None: as many as the largest says.

    Raises:
        DataError: of the first that is none.
    """
    if values.dtype.kind not in "uibf":
        raise DataError(f"{at(0)}: got {values[0]!r} ({values.dtype}); labels are whole numbers from 0")
    limit = LARGEST_LABEL if num_classes is None else num_classes
    wrong = ~((values >= 0) & (values < limit))  # so that nan is wrong, too
    if values.dtype.kind == "f":
        wrong |= values != np.floor(values)
    if wrong.any():
        first = int(wrong.argmax())
        allowed = "whole numbers from 0" if num_classes is None else f"whole numbers from 0 to {num_classes - 1}"
        raise DataError(f"{at(first)}: got the label {values[first]}; labels are {allowed}")
    return values.astype(np.int64)


def check_number(given: int | None, needed: int, where: object) -> int:
    """The number of classes; ``given`` is ``num_classes`` of the options. Raises DataError where it is too small."""
    if given is not None and given < needed:
        raise DataError(f"{where}: has {needed} classes, more than num_classes {given}; leave num_classes out")
    return needed if given is None else given
