"""What clients of a group know of their training: what scores, distances and messages are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from fedchunk.orchestrator.chunking.moves import Asked, Keeping, Moves, moves
from fedchunk.orchestrator.chunking.square_sums import squared_norms
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
        uses_moves = self._scorer.uses_moves or (self._scorer.uses_gradient and not self.adds_up)
        self._asked = Asked(uses_moves, self._scorer.uses_lengths, self._scorer.uses_withheld_norms)
        self._kept_GP = np.empty((0, 0), np.float32)

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
        befores, afters = [start.weights_P for start in starts], list(trained.weights_GP)
        keeping: list[Keeping] = []
        if self._withholds:
            kept_GP = self._to_keep(len(starts), reuse=reuse)
            keeping = [Keeping(*pair) for pair in zip(withheld, kept_GP, strict=True)]
        with np.errstate(all="ignore"):  # clients that diverged, or had no batch, are rows like others here
            moved = moves(befores, afters, self._layout, self._asked, keeping)
            gradient_GC = self._gradient_squares(trained, moved)
            gradient_GP = self._gradients(starts, trained)
            distances_GC = self._scorer.distances(befores, afters, moved.squares)
        return [
            LocalChange(
                before_P,
                afters[row],
                keeping[row].out_P if keeping else withheld[row],
                None if gradient_GC is None else gradient_GC[row],
                None if moved.squares is None else moved.squares.row(row),
                None if gradient_GP is None else gradient_GP[row],
                None if moved.withheld_GC is None else moved.withheld_GC[row],
                None if distances_GC is None else distances_GC[row],
            )
            for row, before_P in enumerate(befores)
        ]

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

    def _gradient_squares(self, trained: TrainedGroup, moved: Moves) -> NDArray[np.float64] | None:
        """Squared norms of the chunks of the mean gradients; what was trained on a GPU is added up there."""
        if not self._scorer.uses_gradient:
            return None
        if trained.gradients is None:
            return _there(moved.squares).difference_C / np.square(_there(trained.descent_G))[:, None]
        if trained.gradients.device.type != "cpu":
            return segments.squared_norms(trained.gradients, self._layout.sizes_C)
        return np.array([squared_norms(gradient_P, self._layout) for gradient_P in trained.gradients.numpy()])

    def _to_keep(self, num_clients: int, *, reuse: bool) -> NDArray[np.float32]:
        """Rows for what is withheld, (G, P): one array, so that the group's states need not be gathered."""
        shape = num_clients, self._layout.num_parameters
        if not reuse:
            return np.empty(shape, np.float32)
        if len(self._kept_GP) < num_clients:  # new memory costs more than what is done in it
            self._kept_GP = np.empty(shape, np.float32)
        return self._kept_GP[:num_clients]


def _there(value: _T | None) -> _T:
    assert value is not None
    return value
