"""What a client's momentum starts from in a round, and what it must remember for that; nothing where that is zero."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fedchunk.actors.client.worker import LocalWorker
from fedchunk.orchestrator.contract.messages import ClientState, ModelState
from fedchunk.orchestrator.contract.peer_messages import TrainOrder
from fedchunk.orchestrator.learning.momentum import quasi_global
from fedchunk.orchestrator.methods.rates import learning_rates
from fedchunk.orchestrator.settings.joined import Sections


class Momentum:
    """Quasi-global momentum of clients, see :func:`fedchunk.orchestrator.learning.momentum.quasi_global`.

    A client of a star, and a peer that shares one model with all others, knows where it begins next only when it has
    the model, so it follows up its last round then. A peer with a model of its own knows once it has mixed.

    Attributes:
        is_carried: whether clients keep their momentum from round to round.
        keeps_start_alone: whether of a model clients keep nothing but where their training began: in full exchange the
            next message holds the whole of it.
    """

    def __init__(self, settings: Sections, worker: LocalWorker) -> None:
        chunking, federation = settings.chunking, settings.federation
        self.is_carried = settings.training.carries_momentum
        self.keeps_start_alone = self.is_carried and not (chunking.chunking or federation.evaluate_clients)
        self._beta = settings.training.momentum
        self._learning_rate_of = learning_rates(settings)
        self._worker = worker

    def of(
        self, client: int, round_index: int, rounds: int, state: ClientState | None, before: ModelState
    ) -> NDArray[np.float32] | None:
        """What the momentum of a client starts from that follows a shared model, which now is ``before``.

        ``rounds``: from the one that ``state`` is of to this one.
        """
        if not self.is_carried:
            return None
        if state is None:
            return np.zeros_like(before.weights_P)
        return self._after(client, state, _began(state), before.weights_P, round_index - rounds, rounds)

    def to_follow_up(
        self, state: ClientState, momentum_P: NDArray[np.float32] | None, before: ModelState
    ) -> ClientState:
        """The state of such a client after training from ``before``."""
        if not self.is_carried:
            return state
        if self.keeps_start_alone:
            state = replace(state, model=before)
        is_kept = state.model is not None and state.model.weights_P is before.weights_P
        return replace(state, momentum_P=momentum_P, began_P=None if is_kept else before.weights_P)

    def with_model(self, state: ClientState, model: ModelState) -> ClientState:
        """The state of a star's client with the model that it has been sent since its training."""
        return replace(state, model=model, began_P=_began(state) if self.is_carried else None)

    def followed_up(self, order: TrainOrder, mixed: ClientState, begins_P: NDArray[np.float32]) -> ClientState:
        """A peer that has mixed, and begins next from ``begins_P``; one that could not keeps the momentum it had."""
        if mixed.began_P is None:
            return mixed
        momentum_P = self._after(order.client_id, mixed, mixed.began_P, begins_P, order.round_index, 1)
        return replace(mixed, momentum_P=momentum_P, began_P=None)

    def _after(
        self,
        client: int,
        state: ClientState,
        began_P: NDArray[np.float32],
        begins_P: NDArray[np.float32],
        last_round: int,
        rounds: int,
    ) -> NDArray[np.float32]:
        return quasi_global(
            state.momentum_P,
            began_P,
            begins_P,
            beta=self._beta,
            learning_rate=self._learning_rate_of(last_round),
            local_steps=self._worker.local_steps(client),
            rounds=rounds,
        )


def _began(state: ClientState) -> NDArray[np.float32]:
    if state.began_P is not None:
        return state.began_P
    assert state.model is not None
    return state.model.weights_P
