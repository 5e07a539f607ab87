"""The coordinator's step: what a server optimizer makes of the clients' aggregated change, times its rate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.chunking.layout import Layout
from fedchunk.orchestrator.components import Bound

OptimizerState = Mapping[str, NDArray[Any]]


class ServerStep:
    """Moves the coordinator's model. Keeps nothing: the optimizer's state is handed in and out.

    Attributes:
        is_plain: whether the change is taken as it is.
    """

    def __init__(self, optimizer: Bound | None, rate_of: Callable[[int], float]) -> None:
        """``optimizer`` None is plain; ``rate_of`` gives ``server_learning_rate`` of a round."""
        self._optimizer = optimizer
        self.rate_of = rate_of
        self.is_plain = optimizer is None

    def of(
        self,
        change_P: NDArray[np.float32],
        sent_C: NDArray[np.bool_],
        state: OptimizerState,
        round_index: int,
        layout: Layout,
    ) -> tuple[NDArray[np.float32], OptimizerState]:
        """The step, (P,), and the optimizer's state after it.

        Args:
            change_P: the aggregated change; 0 in chunks that nobody sent.
            sent_C: which chunks somebody sent.
            state: as this returned it after the round before; empty before the first.
            round_index: the round.
            layout: the cut.

        Raises:
            ComponentFailed: a user's optimizer raised, or gave back something else than a finite step and a state.
        """
        rate = np.float32(self.rate_of(round_index))
        if self._optimizer is None:
            return rate * change_P, state
        answer = self._optimizer(change_P=change_P, sent_C=sent_C, state=state, round_index=round_index, layout=layout)
        step_P, after = self._checked(answer, len(change_P))
        return rate * step_P, after

    def _checked(self, answer: Any, num_parameters: int) -> tuple[NDArray[np.float32], OptimizerState]:
        assert self._optimizer is not None
        if not (isinstance(answer, tuple) and len(answer) == 2 and isinstance(answer[1], Mapping)):
            raise self._optimizer.failed(f"returned {type(answer).__name__}, expected (step_P, state)")
        with self._optimizer.named():
            step_P = np.asarray(answer[0], np.float32)
        if step_P.shape != (num_parameters,):
            raise self._optimizer.failed(f"returned a step of shape {step_P.shape}, expected ({num_parameters},)")
        if not np.isfinite(step_P).all():
            raise self._optimizer.failed("returned a step that is not finite; lower server_learning_rate")
        return step_P, {str(name): np.asarray(values) for name, values in answer[1].items()}
