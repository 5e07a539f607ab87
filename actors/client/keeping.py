"""What clients of a star remember from round to round, and what need not be kept of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedchunk.actors.client.momentum import Momentum
from fedchunk.actors.client.states import stack_states, with_trained
from fedchunk.actors.client.worker import LocalWorker
from fedchunk.orchestrator.contract.messages import ClientState, ClientStates
from fedchunk.orchestrator.learning.engines.group_trainer import TrainedGroup
from fedchunk.orchestrator.methods.method import keeps_home_alone, keeps_states
from fedchunk.orchestrator.settings.joined import Sections


class Keeping:
    """Makes the states of groups of clients that have trained."""

    def __init__(self, settings: Sections, worker: LocalWorker, momentum: Momentum) -> None:
        self._worker, self._momentum = worker, momentum
        self._rule, self._layout = worker.method.rule, worker.method.layout
        self._keeps_states = keeps_states(settings)
        self._keeps_home_alone = keeps_home_alone(settings)

    def nothing(self) -> ClientStates | None:
        """The states of a group in which nobody could train."""
        return stack_states([]) if self._keeps_states else None

    def of(
        self,
        states: Sequence[ClientState],
        trained: TrainedGroup,
        sent_C: NDArray[np.bool_] | None,
        *,
        whole: bool,
        alone: bool,
    ) -> ClientStates | None:
        """What the clients of a group remember, as one object; None where they remember nothing.

        Args:
            states: the clients, in order.
            trained: the group.
            sent_C: the chunks that count of those that the group sent, where that is known.
            whole: all of the group were trained.
            alone: it is the only group of the call.
        """
        if not self._keeps_states:
            return None
        if self._keeps_home_alone:
            return stack_states(states, with_models=False)
        if self._rule.keeps_residual or self._momentum.keeps_start_alone or not whole:
            return stack_states(states)
        kept_C = None
        if sent_C is not None and self._rule.replaces_sent and not self._momentum.is_carried:
            kept_C = ~sent_C  # means take the place of the others, whatever other groups send
        elif not alone:
            self._worker.release_buffers()  # the next group must not write over what is yet to be sent
        return with_trained(states, trained, kept_C, self._layout)
