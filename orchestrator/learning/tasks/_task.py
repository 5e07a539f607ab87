"""What a task says. No torch: tensors are only reshaped here, and the driver looks at data without it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Answers:
    """What a model must answer to a sample."""

    shape: tuple[int, ...]
    spare: bool = False
    """Whether the last axis may be longer: outputs that no target asks for."""

    def fit(self, shape: tuple[int, ...]) -> bool:
        """Whether these are such answers, to one sample."""
        if len(shape) != len(self.shape) or shape[:-1] != self.shape[:-1]:
            return False
        return shape[-1] == self.shape[-1] or (self.spare and shape[-1] > self.shape[-1])


class Task:
    """What the targets of samples are: the plain case is one label for each sample.

    A user's task is a class of this kind. Facts in capitals are read from the class itself, of a built-in task from
    its file; ``loss_function``, ``metrics`` and ``target_metric`` in the settings win over them.
    """

    LOSS: str = ""
    """The loss where ``loss_function`` is null, a built-in name; empty: the settings must name one."""
    METRICS: tuple[str, ...] = ()
    """Built-in metrics that are measured without being asked for."""
    TARGET_METRIC: str = "loss"
    """What runs are judged by where ``target_metric`` is null, a metric that is measured."""
    TARGETS: str = ""
    """What losses and metrics are given: labels (N,) with outputs (N, classes), values or flags (N, d) with outputs
    (N, d); empty: something else, and no built-in loss or metric is held against it."""
    ONE_LABEL: bool = False
    """Whether the data have one whole number for each sample: then partitions may go by it. Where losses get just that,
    accuracy has columns of its own, and clients may be trained at once."""
    PER_TOKEN: bool = False
    """Whether a model answers at each place of a sample."""

    def targets(self, field: str, targets: NDArray[Any], samples: NDArray[Any]) -> NDArray[Any]:
        """The targets of a data set, checked, of a type that travels: int64 or float32.

        Args:
            field: how they are called in messages: ``train_y`` or ``test_y``.
            targets: as the data set has them, (S, ...).
            samples: what they belong to, (S', ...).

        Raises:
            ValueError: they are not what the task takes; the message says what is wrong.
        """
        if targets.ndim != 1:
            raise ValueError(f"{field} has shape {targets.shape}, expected one label for each sample: (S,)")
        return whole_numbers(field, targets, "label")

    def num_outputs(
        self, given: int | None, targets: tuple[NDArray[Any], ...], samples: tuple[NDArray[Any], ...]
    ) -> int:
        """How many outputs a model must have.

        Args:
            given: ``num_classes`` of the data set.
            targets: those of training and test, as :meth:`targets` gave them.
            samples: what they belong to.

        Raises:
            ValueError: ``given`` does not fit.
        """
        return number_of("label", given, max(int(part.max()) for part in targets))

    def prepared(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs and targets of a batch as losses and metrics are given them, one row for each answer that counts.

        Args:
            outputs: what the model answers to B samples, (B, ...).
            targets: theirs, (B, ...).
        """
        return outputs, targets

    def answers(self, input_shape: tuple[int, ...], num_outputs: int) -> Answers:
        """What a model must answer to a sample of this shape."""
        return Answers((num_outputs,), spare=True)


def whole_numbers(field: str, targets: NDArray[Any], what: str) -> NDArray[np.int64]:
    """As int64. Raises ValueError where a number is below 0, or no whole one."""
    if targets.dtype.kind not in "uib":
        raise ValueError(f"{field} is of type {targets.dtype}, expected whole numbers from 0")
    if targets.min() < 0:
        raise ValueError(f"{field} holds the {what} {targets.min()}, expected whole numbers from 0")
    return targets.astype(np.int64, copy=False)


def number_of(what: str, given: int | None, largest: int) -> int:
    """How many labels there are: ``given``, or as many as the largest says. Raises ValueError where they do not fit."""
    if given is None:
        return largest + 1
    if isinstance(given, bool) or not isinstance(given, int | np.integer) or given < 1:
        raise ValueError(f"num_classes is {given!r}, expected a whole number from 1 or None")
    if largest >= given:
        raise ValueError(f"a {what} is {largest}, but num_classes is {given}: allowed are 0 to {given - 1}")
    return int(given)


def rows_of_numbers(field: str, targets: NDArray[Any], expected: str) -> NDArray[np.float32]:
    """Numbers (S,) or (S, d) as finite float32. Raises ValueError where they are something else."""
    if targets.ndim not in (1, 2) or not targets.size:
        raise ValueError(f"{field} has shape {targets.shape}, expected {expected}")
    if targets.dtype.kind not in "uibf":
        raise ValueError(f"{field} is of type {targets.dtype}, expected numbers")
    with np.errstate(over="ignore"):
        values = targets.astype(np.float32, copy=False)
    bad = ~np.isfinite(values)
    if bad.any():
        first = tuple(int(place) for place in np.argwhere(bad)[0])
        raise ValueError(f"{field} holds {targets[first]} at {_at(first)}, expected finite numbers within float32")
    return values


def width_of(given: int | None, targets: tuple[NDArray[Any], ...]) -> int:
    """Numbers for each sample. Raises ValueError where training and test, or ``num_classes``, do not agree."""
    shapes = {part.shape[1:] for part in targets}
    if len(shapes) > 1:
        raise ValueError(f"train_y has targets of shape {targets[0].shape[1:]}, test_y of {targets[1].shape[1:]}")
    width = shapes.pop()[0] if targets[0].ndim == 2 else 1
    if given is not None and given != width:
        raise ValueError(f"num_classes is {given!r}, but a sample has {width} targets: leave it out")
    return int(width)


def _at(place: tuple[int, ...]) -> str:
    return f"sample {place[0]}" + (f", column {place[1]}" if len(place) > 1 else "")
