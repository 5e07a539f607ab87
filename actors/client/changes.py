"""What clients of a group know of their training: what scores, distances and messages are made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from fedchunk.orchestrator.chunking.distance import Squares
from fedchunk.orchestrator.chunking.scoring import squared_norms
from fedchunk.orchestrator.contract.messages import ModelState
from fedchunk.orchestrator.learning.engines import segments
from fedchunk.orchestrator.learning.engines.group_trainer import TrainedGroup
from fedchunk.orchestrator.learning.engines.optimizers import is_plain
from fedchunk.orchestrator.methods.method import Method
from fedchunk.orchestrator.methods.scorer import LocalChange
from fedchunk.orchestrator.settings.sections import TrainingSettings

_T = TypeVar("_T")


class Changes:
    """Works out what a group's scores ask for, all clients at once. Keeps its working memory.

    Attributes:
        adds_up: whether training has to add gradients up. Plain gradient descent of T steps at one rate goes
            ``before - after = rate * (g_1 + ... + g_T)``, so the way that the weights went tells the mean gradient, up
            to the rounding of the weights in each step; and the way is looked at anyway. A GPU adds up in passing.
    """

    def __init__(self, method: Method, training: TrainingSettings, device: torch.device) -> None:
        self._scorer, self._layout, self._withholds = method.scorer, method.layout, method.withholds
        self.adds_up = self._scorer.uses_gradient and not (is_plain(training) and device.type == "cpu")
        self._uses_moves = self._scorer.uses_moves or (self._scorer.uses_gradient and not self.adds_up)
        self._differences_GP = self._kept_GP = np.empty((0, 0), np.float32)

    def of(
        self,
        starts: Sequence[ModelState],
        trained: TrainedGroup,
        withheld: Sequence[NDArray[np.float32] | None],
        *,
        reuse: bool = False,
    ) -> list[LocalChange]:
        """What the clients of a group know after training; ``withheld`` is what each kept back before.

        ``reuse``: what is then withheld takes the place of the last group's, which nobody needs any more.
        """
        with np.errstate(all="ignore"):  # clients that diverged, or had no batch, are rows like others here
            difference_GP = self._differences(starts, trained)
            moved = self._moved(starts, trained, difference_GP)
            gradient_GC = self._gradient_squares(trained, moved)
            gradient_GP = self._gradients(starts, trained)
        kept_GP = self._to_keep(len(starts), reuse=reuse) if self._withholds else None
        changes = []
        for row, start in enumerate(starts):
            kept_P = withheld[row]
            if kept_GP is not None:
                kept_P = _plus(_there(difference_GP)[row], kept_P, kept_GP[row])
            gradient_C = None if gradient_GC is None else gradient_GC[row]
            gradient_P = None if gradient_GP is None else gradient_GP[row]
            squares = moved[row] if moved else None
            after_P = trained.weights_GP[row]
            changes.append(LocalChange(start.weights_P, after_P, kept_P, gradient_C, squares, gradient_P))
        return changes

    def _gradients(self, starts: Sequence[ModelState], trained: TrainedGroup) -> list[NDArray[np.float32]] | None:
        """The mean gradients, (P,) each, where a score looks at them."""
        if not self._scorer.wants_gradient:
            return None
        if trained.gradient_GP is not None:
            return list(trained.gradient_GP)
        descent_G = _there(trained.descent_G).astype(np.float32)
        return [
            (start.weights_P - after_P) / descent
            for start, after_P, descent in zip(starts, trained.weights_GP, descent_G, strict=True)
        ]

    def _gradient_squares(self, trained: TrainedGroup, moved: Sequence[Squares] | None) -> NDArray[np.float64] | None:
        """Squared norms of the chunks of the mean gradients; what was trained on a GPU is added up there."""
        if not self._scorer.uses_gradient:
            return None
        if trained.gradients is None:
            difference_GC = np.array([squares.difference_C for squares in _there(moved)])
            return difference_GC / np.square(_there(trained.descent_G))[:, None]
        if trained.gradients.device.type != "cpu":
            return segments.squared_norms(trained.gradients, self._layout.sizes_C)
        return squared_norms(trained.gradients.numpy(), self._layout)

    def _differences(self, starts: Sequence[ModelState], trained: TrainedGroup) -> NDArray[np.float32] | None:
        """After less before, (G, P); None where nobody asks for it. The next group's take their place."""
        if not (self._uses_moves or self._withholds):
            return None
        self._differences_GP = self._room(self._differences_GP, len(starts))
        difference_GP = self._differences_GP[: len(starts)]
        for difference_P, start, after_P in zip(difference_GP, starts, trained.weights_GP, strict=True):
            np.subtract(after_P, start.weights_P, out=difference_P)
        return difference_GP

    def _to_keep(self, num_clients: int, *, reuse: bool) -> NDArray[np.float32]:
        """Rows for what is withheld, (G, P): one array, so that the group's states need not be gathered."""
        if not reuse:
            return np.empty((num_clients, self._layout.num_parameters), np.float32)
        self._kept_GP = self._room(self._kept_GP, num_clients)
        return self._kept_GP[:num_clients]

    def _room(self, memory_GP: NDArray[np.float32], rows: int) -> NDArray[np.float32]:
        """The same memory where it suffices: new memory costs more than what is done in it."""
        if len(memory_GP) >= rows:
            return memory_GP
        return np.empty((rows, self._layout.num_parameters), np.float32)

    def _moved(
        self, starts: Sequence[ModelState], trained: TrainedGroup, difference_GP: NDArray[np.float32] | None
    ) -> list[Squares] | None:
        """Squared norms of after, before and their difference; None where nobody asks for them."""
        if not self._uses_moves:
            return None
        difference_GC = squared_norms(_there(difference_GP), self._layout)
        if not self._scorer.uses_lengths:
            return [Squares(difference_C) for difference_C in difference_GC]
        after_GC = squared_norms(trained.weights_GP, self._layout)
        return [Squares(*rows) for rows in zip(difference_GC, after_GC, self._befores(starts), strict=True)]

    def _befores(self, starts: Sequence[ModelState]) -> Iterator[NDArray[np.float64]]:
        """Squared norms of the starts' chunks; clients often start from one model."""
        before_P, before_C = starts[0].weights_P, squared_norms(starts[0].weights_P, self._layout)
        for start in starts:
            if start.weights_P is not before_P:
                before_P, before_C = start.weights_P, squared_norms(start.weights_P, self._layout)
            yield before_C


def _plus(
    difference_P: NDArray[np.float32], withheld_P: NDArray[np.float32] | None, out_P: NDArray[np.float32]
) -> NDArray[np.float32]:
    if withheld_P is None:
        out_P[:] = difference_P
    else:
        np.add(withheld_P, difference_P, out=out_P)
    return out_P


def _there(value: _T | None) -> _T:
    assert value is not None
    return value
