"""Numbers for each sample: finite, (S,) or (S, d)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.learning.tasks._task import Answers, Task, rows_of_numbers, width_of

if TYPE_CHECKING:
    from torch import Tensor

LOSS = "mean_squared_error"
METRICS = ("rmse", "r2")
TARGET_METRIC = "rmse"
TARGETS = "values"


class regression(Task):  # noqa: N801 - the name that it has in settings
    """Outputs are (B, d); d is 1 for targets (S,)."""

    def targets(self, field: str, targets: NDArray[Any], samples: NDArray[Any]) -> NDArray[np.float32]:
        """As float32."""
        return rows_of_numbers(field, targets, "one number for each sample, (S,), or some, (S, d)")

    def num_outputs(
        self, given: int | None, targets: tuple[NDArray[Any], ...], samples: tuple[NDArray[Any], ...]
    ) -> int:
        """d."""
        return width_of(given, targets)

    def prepared(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Both as (B, d)."""
        return outputs, targets.view(len(targets), -1)

    def answers(self, input_shape: tuple[int, ...], num_outputs: int) -> Answers:
        """(d,)."""
        return Answers((num_outputs,))
