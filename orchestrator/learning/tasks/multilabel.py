"""Any number of labels for each sample: 0 or 1 for each of L, (S, L)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.learning.tasks._task import Answers, Task, rows_of_numbers, width_of

LOSS = "binary_cross_entropy"
METRICS = ("f1_macro", "f1_micro")
TARGET_METRIC = "f1_macro"
TARGETS = "flags"


class multilabel(Task):  # noqa: N801 - the name that it has in settings
    """Outputs are logits (B, L); a label is answered where its logit is above 0."""

    def targets(self, field: str, targets: NDArray[Any], samples: NDArray[Any]) -> NDArray[np.float32]:
        """As float32."""
        if targets.ndim != 2:
            raise ValueError(f"{field} has shape {targets.shape}, expected 0 or 1 for each label: (S, L)")
        flags = rows_of_numbers(field, targets, "0 or 1 for each label: (S, L)")
        other = (flags != 0) & (flags != 1)
        if other.any():
            sample, label = np.argwhere(other)[0]
            raise ValueError(
                f"{field} holds {targets[sample, label]} at sample {sample}, label {label}; expected 0 or 1"
            )
        return flags

    def num_outputs(
        self, given: int | None, targets: tuple[NDArray[Any], ...], samples: tuple[NDArray[Any], ...]
    ) -> int:
        """L."""
        return width_of(given, targets)

    def answers(self, input_shape: tuple[int, ...], num_outputs: int) -> Answers:
        """(L,)."""
        return Answers((num_outputs,))
