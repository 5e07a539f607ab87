"""What the optimizers share: moments that move only where somebody sent something.

A chunk that nobody sent has no pseudo-gradient, which is not the same as one of zero. So it is not stepped, and its
moments neither fade nor move until somebody sends it again. That is the lazy update of sparse Adam (PyTorch's
``SparseAdam``: "only moments that show up in the gradient get updated").
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.chunking.layout import Layout

Rule = Callable[..., tuple[NDArray[np.float32], ...]]
"""From changes and one array per moment, all of the same length, to the step and the new moments, all new arrays."""


def step_where_sent(
    rule: Rule,
    names: tuple[str, ...],
    change_P: NDArray[np.float32],
    sent_C: NDArray[np.bool_],
    state: Mapping[str, NDArray[Any]],
    layout: Layout,
) -> tuple[NDArray[np.float32], dict[str, NDArray[Any]]]:
    """Applies a rule that works value by value to the chunks that were sent; elsewhere the step is 0.

    Args:
        rule: what to do with each value.
        names: the rule's moments by their names in the state; they begin as zeros.
        change_P: the aggregated change.
        sent_C: which chunks somebody sent.
        state: the moments so far; only read.
        layout: how the vector is cut.

    Returns:
        The step, (P,), and the new moments, (P,) each. They share no memory with each other or with what came in.
    """
    old = [state[name] if name in state else np.zeros_like(change_P) for name in names]
    if sent_C.all():
        step_P, *new = rule(change_P, *old)
        return step_P, dict(zip(names, new, strict=True))
    step_P = np.zeros_like(change_P)
    new = [moment_P.copy() for moment_P in old]
    for place, _ in layout.places(sent_C):
        step, *parts = rule(change_P[place], *(moment_P[place] for moment_P in old))
        step_P[place] = step
        for moment_P, part in zip(new, parts, strict=True):
            moment_P[place] = part
    return step_P, dict(zip(names, new, strict=True))


def faded(old: NDArray[np.float32], new: NDArray[np.float32], beta: float) -> NDArray[np.float32]:
    """A running mean's next value: ``beta * old + (1 - beta) * new``."""
    mean = beta * old
    mean += (1 - beta) * new
    return mean


def adapted(direction: NDArray[np.float32], squares: NDArray[np.float32], tau: float) -> NDArray[np.float32]:
    """The step of the adaptive optimizers: ``direction / (sqrt(squares) + tau)``."""
    step = np.sqrt(squares)
    step += tau
    return np.divide(direction, step, out=step)
