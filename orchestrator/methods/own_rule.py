"""A user's exchange rule: what it raises, or gives back and must not, is said with its place."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.chunking.aggregation import RoundSum
from fedchunk.orchestrator.chunking.draft import Draft
from fedchunk.orchestrator.chunking.layout import Layout
from fedchunk.orchestrator.components import Bound
from fedchunk.orchestrator.contract.messages import ClientState, ModelState
from fedchunk.orchestrator.methods.exchange_rules._rule import ExchangeRule, GlobalModel, PeerView, ServerSide


class OwnRule(ExchangeRule):
    """Passes everything on to the user's rule, and looks at what comes back.

    Its clients keep all of their models, whatever it says of ``replaces_sent``.
    """

    def __init__(self, bound: Bound, rule: ExchangeRule) -> None:
        self._bound, self._rule = bound, rule
        self.sends_changes = rule.sends_changes
        self.sends_shares = rule.sends_shares
        self.keeps_residual = rule.keeps_residual
        self.keeps_copies = rule.keeps_copies
        self.relays = rule.relays

    def start(self, shared_P: NDArray[np.float32], withheld_P: NDArray[np.float32] | None) -> NDArray[np.float32]:
        """Passed on."""
        with self._bound.named():
            start_P = self._rule.start(shared_P, withheld_P)
        return start_P if start_P is shared_P else self._vector("start", start_P, len(shared_P))

    def unheard(
        self, withheld_P: NDArray[np.float32] | None, copies: tuple[NDArray[np.float32], ...]
    ) -> NDArray[np.float32] | None:
        """Passed on."""
        with self._bound.named():
            unheard_P = self._rule.unheard(withheld_P, copies)
        if unheard_P is None or unheard_P is withheld_P:
            return unheard_P
        known = (withheld_P, *copies, unheard_P)
        return self._vector("unheard", unheard_P, next(len(one) for one in known if one is not None))

    def faded(self, withheld_P: NDArray[np.float32], missed: int) -> NDArray[np.float32]:
        """Passed on."""
        with self._bound.named():
            left_P = self._rule.faded(withheld_P, missed)
        return left_P if left_P is withheld_P else self._vector("faded", left_P, len(withheld_P))

    def sent_vector(self, pending: ClientState) -> NDArray[np.float32]:
        """Passed on."""
        with self._bound.named():
            vector_P = self._rule.sent_vector(pending)
        assert pending.model is not None
        return self._vector("sent_vector", vector_P, len(pending.model.weights_P))

    def after_sending(
        self,
        withheld_P: NDArray[np.float32],
        selected_C: NDArray[np.bool_],
        sent: Draft,
        layout: Layout,
        squares_C: NDArray[np.float64] | None = None,
    ) -> tuple[NDArray[np.float32], float | None]:
        """Passed on."""
        with self._bound.named():
            answer = self._rule.after_sending(withheld_P, selected_C, sent, layout)
        self._check_pair("after_sending", "(what stays, its norm)", answer)
        return self._vector("after_sending", answer[0], len(withheld_P)), answer[1]

    def global_model(self, server: ServerSide, state: ModelState) -> GlobalModel:
        """Passed on."""
        with self._bound.named():
            return self._rule.global_model(server, state)

    def first_copies(self, start_P: NDArray[np.float32], num_neighbours: int) -> tuple[NDArray[np.float32], ...]:
        """Passed on."""
        with self._bound.named():
            return tuple(self._rule.first_copies(start_P, num_neighbours))

    def shared_after(self, shared: ModelState, total: RoundSum) -> ModelState:
        """Passed on."""
        with self._bound.named():
            after = self._rule.shared_after(shared, total)
        return replace(after, weights_P=self._vector("shared_after", after.weights_P, len(shared.weights_P)))

    def mix(self, view: PeerView) -> tuple[NDArray[np.float32], tuple[NDArray[np.float32], ...]]:
        """Passed on."""
        with self._bound.named():
            answer = self._rule.mix(view)
        self._check_pair("mix", "(weights, copies)", answer)
        return self._vector("mix", answer[0], len(view.own_P)), tuple(answer[1])

    def _check_pair(self, method: str, what: str, answer: object) -> None:
        if not (isinstance(answer, tuple) and len(answer) == 2):
            raise self._bound.failed(f"{method} returned {type(answer).__name__}, expected {what}")

    def _vector(self, method: str, values: object, length: int) -> NDArray[np.float32]:
        with self._bound.named():
            vector_P = np.asarray(values, np.float32)
        if vector_P.shape != (length,):
            raise self._bound.failed(f"{method} returned values of shape {vector_P.shape}, expected ({length},)")
        if not np.isfinite(vector_P).all():
            raise self._bound.failed(f"{method} returned values that are not finite")
        return vector_P
