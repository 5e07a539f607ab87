"""The next token at each place: samples (S, T) and targets (S, T) are places in a vocabulary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.learning.tasks._task import Answers, Task, number_of, whole_numbers

if TYPE_CHECKING:
    from torch import Tensor

LOSS = "CrossEntropy"
METRICS = ("perplexity", "bits_per_byte")
TARGET_METRIC = "bits_per_byte"
TARGETS = "labels"
PER_TOKEN = True


class language_model(Task):  # noqa: N801 - the name that it has in settings
    """Outputs are logits (B, T, V) over a vocabulary of V, which is the data set's ``num_classes``."""

    def targets(self, field: str, targets: NDArray[Any], samples: NDArray[Any]) -> NDArray[np.int64]:
        """Tokens, as many as the samples have."""
        if samples.ndim != 2 or samples.dtype != np.int64:
            found = f"samples of shape {samples.shape[1:]} in {samples.dtype}"
            raise ValueError(f"{field} belongs to {found}, expected whole numbers, tokens: (S, T)")
        if targets.shape[1:] != samples.shape[1:]:
            expected = f"the next token at each place: (S, {samples.shape[1]})"
            raise ValueError(f"{field} has shape {targets.shape}, expected {expected}")
        if samples.min() < 0:
            raise ValueError(f"the samples of {field} hold the token {samples.min()}, expected whole numbers from 0")
        return whole_numbers(field, targets, "token")

    def num_outputs(
        self, given: int | None, targets: tuple[NDArray[Any], ...], samples: tuple[NDArray[Any], ...]
    ) -> int:
        """V: tokens that are only read count, too."""
        return number_of("token", given, max(int(part.max()) for part in (*targets, *samples)))

    def prepared(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """A row for each token: (B T, V) and (B T,)."""
        return outputs.reshape(-1, outputs.shape[-1]), targets.reshape(-1)

    def answers(self, input_shape: tuple[int, ...], num_outputs: int) -> Answers:
        """(T, V)."""
        return Answers((*input_shape, num_outputs), spare=True)
