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
        kept_GP = self._to_keep(len(starts), reuse=reuse) if self._withholds else None
        with np.errstate(all="ignore"):  # clients that diverged, or had no batch, are rows like others here
            moved = self._moved(starts, trained, withheld, kept_GP)
            gradient_GC = self._gradient_squares(trained, moved)
            gradient_GP = self._gradients(starts, trained)
        return [
            LocalChange(
                start.weights_P,
                trained.weights_GP[row],
                withheld[row] if kept_GP is None else kept_GP[row],
                None if gradient_GC is None else gradient_GC[row],
                moved[row].squares,
                None if gradient_GP is None else gradient_GP[row],
                moved[row].withheld_C,
            )
            for row, start in enumerate(starts)
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

    def _gradient_squares(self, trained: TrainedGroup, moved: Sequence[Moves]) -> NDArray[np.float64] | None:
        """Squared norms of the chunks of the mean gradients; what was trained on a GPU is added up there."""
        if not self._scorer.uses_gradient:
            return None
        if trained.gradients is None:
            difference_GC = np.array([_there(one.squares).difference_C for one in moved])
            return difference_GC / np.square(_there(trained.descent_G))[:, None]
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

    def _moved(
        self,
        starts: Sequence[ModelState],
        trained: TrainedGroup,
        withheld: Sequence[NDArray[np.float32] | None],
        kept_GP: NDArray[np.float32] | None,
    ) -> list[Moves]:
        """What is asked of each client's vectors. Clients often start from one model, which is looked at once."""
        found: list[Moves] = []
        before_P: NDArray[np.float32] | None = None
        for row, start in enumerate(starts):
            squares = found[-1].squares if found and start.weights_P is before_P else None
            before_P = start.weights_P
            keeping = None if kept_GP is None else Keeping(withheld[row], kept_GP[row])
            known_C = None if squares is None else squares.v_C
            found.append(moves(before_P, trained.weights_GP[row], self._layout, self._asked, keeping, known_C))
        return found


def _there(value: _T | None) -> _T:
    assert value is not None
    return value
