"""What is measured on a test set, as sums: those of its shards add up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


def add_parts(
    some: Mapping[str, NDArray[np.float64]], others: Mapping[str, NDArray[np.float64]]
) -> dict[str, NDArray[np.float64]]:
    """Sums by name. Raises ValueError where two are of different shapes."""
    for name in some.keys() & others.keys():
        if some[name].shape != others[name].shape:
            raise ValueError(f"{name}: parts of shapes {some[name].shape} and {others[name].shape} do not add up")
    return {**others, **{name: part + others[name] if name in others else part for name, part in some.items()}}


@dataclass(frozen=True)
class EvaluationSums:
    """Sums over test samples; shards of a test set add up, the mean is taken once."""

    correct: int | None
    """Samples whose label is the answer; None where samples have not one label each."""
    loss_sum: float
    num_samples: int
    """Answers that were asked for: one a sample, or one for each of its tokens."""
    parts: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    """Of each further metric, by its name, what adds up."""
    num_classes: int = 0
    """Answers that the model chooses from; known where there are further metrics."""

    def __add__(self, other: EvaluationSums) -> EvaluationSums:
        return EvaluationSums(
            None if self.correct is None or other.correct is None else self.correct + other.correct,
            self.loss_sum + other.loss_sum,
            self.num_samples + other.num_samples,
            add_parts(self.parts, other.parts),
            max(self.num_classes, other.num_classes),
        )

    @property
    def accuracy(self) -> float | None:
        """Share of correct answers, 0 to 1; None where samples have not one label each."""
        return None if self.correct is None else self.correct / self.num_samples

    @property
    def loss(self) -> float:
        """Mean loss of an answer."""
        return self.loss_sum / self.num_samples


@dataclass(frozen=True)
class Measured:
    """What was measured of a client's own model."""

    whole: EvaluationSums
    """On the whole test set."""
    own: EvaluationSums | None
    """On the client's own samples that are kept for it; None where there are none."""
