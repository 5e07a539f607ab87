"""What is said of the targets of some samples: how often each label is there, or how numbers spread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.learning.data.dataset import LoadedDataset
from fedchunk.orchestrator.learning.data.labels import LARGEST_LABEL
from fedchunk.orchestrator.settings.task_facts import TaskFacts

QUANTILES = (0, 25, 50, 75, 100)
"""Percentiles that are given of numbers."""


@dataclass(frozen=True)
class TargetKind:
    """How targets are put into figures: counts of labels or tokens, (C,), or quantiles of numbers, (d, Q)."""

    what: Literal["labels", "tokens", "numbers"]
    flags: bool = False
    """Whether a sample may have any number of the labels."""
    num_classes: int = 0
    """C, of labels and tokens."""

    @classmethod
    def of_data(cls, facts: TaskFacts, data: LoadedDataset) -> TargetKind:
        """As the task says; of a user's task as far as the targets themselves show it."""
        if facts.targets == "flags":
            return cls("labels", True, data.num_classes)
        largest = max(int(part.max()) for part in (data.train_y, data.test_y))
        least = min(int(part.min()) for part in (data.train_y, data.test_y))
        if data.train_y.dtype != np.int64 or least < 0 or largest > LARGEST_LABEL:
            return cls("numbers")
        what: Literal["labels", "tokens"] = "labels" if data.train_y.ndim == 1 else "tokens"
        return cls(what, False, max(data.num_classes, largest + 1))

    def figures(self, targets: NDArray[Any], places_S: NDArray[np.int64] | None = None) -> NDArray[Any]:
        """Of the targets at these places, at least one; None: of all."""
        some = targets if places_S is None else targets[places_S]
        if self.what == "numbers":
            return np.percentile(some.reshape(len(some), -1).astype(np.float64), QUANTILES, axis=0).T
        if self.flags:
            return np.asarray(some.sum(axis=0, dtype=np.float64)).astype(np.int64)
        return np.bincount(some.ravel(), minlength=self.num_classes)


@dataclass(frozen=True)
class Row:
    """Some samples."""

    samples: int
    figures: NDArray[Any]
    """As :meth:`TargetKind.figures`."""

    @classmethod
    def of(cls, kind: TargetKind, targets: NDArray[Any], places: Sequence[NDArray[np.int64]]) -> Row | None:
        """Of the targets at all these places; None where there is none."""
        places_S = np.concatenate(places) if places else np.empty(0, np.int64)
        return cls(len(places_S), kind.figures(targets, places_S)) if len(places_S) else None
