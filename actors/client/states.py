"""Clients' states as rows of few arrays: one object for a group instead of one for each client."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.chunking.layout import Layout
from fedchunk.orchestrator.contract.messages import ClientState, ClientStates, ModelState
from fedchunk.orchestrator.learning.engines.group_trainer import TrainedGroup

_NO_FLOATS = np.empty((0, 0), np.float32)
_NO_COUNTERS = np.empty((0, 0), np.int64)


def stack_states(states: Sequence[ClientState], *, with_models: bool = True) -> ClientStates:
    """The states as rows, in order. A model that several clients share is one row; ``with_models=False``: none is."""
    models: list[ModelState] = []
    rows: list[int] = []
    for state in states if with_models else ():
        if state.model is None:
            continue
        known = [at for at, model in enumerate(models) if model.weights_P is state.model.weights_P]
        rows.append(known[0] if known else len(models))
        if not known:
            models.append(state.model)
    assert all(state.kept_C is None for state in states), "models that are only there in part"
    return ClientStates(
        model_rows=tuple(rows),
        weights_MP=np.stack([model.weights_P for model in models]) if models else _NO_FLOATS,
        buffers_MB=np.stack([model.buffers_B for model in models]) if models else _NO_FLOATS,
        counters_MI=np.stack([model.counters_I for model in models]) if models else _NO_COUNTERS,
        last_sent_GC=np.stack([state.last_sent_C for state in states]) if states else np.empty((0, 0), np.int32),
        withheld_GP=_rows([state.withheld_P for state in states]),
        choice_C=states[0].choice_C if states else None,
        momentum_GP=_rows([state.momentum_P for state in states]),
        began_GP=_rows([state.began_P for state in states]),
        homes=_homes([state.home for state in states]),
    )


def _rows(vectors: Sequence[NDArray[np.float32] | None]) -> NDArray[np.float32] | None:
    """The clients' vectors of one kind: all have one, or none."""
    rows = [vector_P for vector_P in vectors if vector_P is not None]
    assert len(rows) in (0, len(vectors))
    if not rows:
        return None
    together = _together(rows)
    return np.stack(rows) if together is None else together


def _together(rows: Sequence[NDArray[np.float32]]) -> NDArray[np.float32] | None:
    """The rows as they lie in memory, if they lie one behind the other in one array: nothing is copied then."""
    whole = rows[0].base
    if not isinstance(whole, np.ndarray) or whole.ndim != 2 or not whole.flags.c_contiguous or not whole.size:
        return None
    if any(row.base is not whole or row.shape != whole.shape[1:] for row in rows):
        return None
    first, *others = ((row.ctypes.data - whole.ctypes.data) // whole.strides[0] for row in rows)
    if others != list(range(first + 1, first + len(rows))):
        return None
    lying: NDArray[np.float32] = whole[first : first + len(rows)]
    return lying


def _homes(homes: Sequence[ModelState | None]) -> ModelState | None:
    """What stays with the clients, as rows: all have some, or none."""
    own = [home for home in homes if home is not None]
    assert len(own) in (0, len(homes))
    if not own:
        return None
    weights, buffers, counters = zip(*((one.weights_P, one.buffers_B, one.counters_I) for one in own), strict=True)
    return ModelState(np.stack(weights), np.stack(buffers), np.stack(counters))


def with_trained(
    states: Sequence[ClientState], trained: TrainedGroup, kept_C: NDArray[np.bool_] | None, layout: Layout
) -> ClientStates:
    """The states of a whole group that keeps the models it has trained, or the chunks ``kept_C`` of their weights.

    These are rows already: of whole models nothing is copied, of parts everything.
    """
    weights, buffers, counters = trained.weights_GP, trained.buffers_GB, trained.counters_GI
    if kept_C is not None:
        weights, buffers, counters = layout.cut_rows(weights, kept_C), buffers.copy(), counters.copy()
    return replace(
        stack_states(states, with_models=False),
        model_rows=tuple(range(len(states))),
        weights_MP=weights,
        buffers_MB=buffers,
        counters_MI=counters,
        kept_C=kept_C,
    )


def model_of(state: ClientState, layout: Layout) -> ModelState | None:
    """A client's own model; what it did not keep of it is nan, and must be replaced."""
    if state.model is None or state.kept_C is None:
        return state.model
    weights_P = np.full(layout.num_parameters, np.nan, np.float32)
    layout.paste(state.model.weights_P, state.kept_C, weights_P)
    return replace(state.model, weights_P=weights_P)
