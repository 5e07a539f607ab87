"""Scores a client's chunks by the settings' score, which is given what it asks for and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.chunking import distance, scoring
from fedchunk.orchestrator.chunking.layout import Layout
from fedchunk.orchestrator.settings.joined import Sections

_T = TypeVar("_T")

WITHHELD = frozenset({"withheld_P", "withheld_C"})
GRADIENTS = frozenset({"gradient_P", "gradient_C"})
CHANGES = frozenset({"change_C"})
BOTH_ENDS = frozenset({"before_C", "after_C"})


@dataclass(frozen=True)
class LocalChange:
    """What a client knows after local training."""

    before_P: NDArray[np.float32]
    after_P: NDArray[np.float32]
    withheld_P: NDArray[np.float32] | None
    """Everything not sent yet, this round's change included; None where the settings have no use for it."""
    gradient_C: NDArray[np.float64] | None
    """Squared norms of the gradient's chunks; None where the rule in force has no use for them."""
    moved: distance.Squares | None
    """Squared norms of after, before, and their difference; None where nobody asks for them."""
    gradient_P: NDArray[np.float32] | None = None
    """The gradient itself, where the score asks for it."""
    withheld_C: NDArray[np.float64] | None = None
    """Squared norms of the chunks of ``withheld_P``, where the score asks for them."""
    distances_C: NDArray[np.float32] | None = None
    """Distance of each chunk between after and before training; None where nobody needs it."""


@dataclass(frozen=True)
class Ages:
    """What a choice has to know of the past."""

    round_index: int
    ages_C: NDArray[np.int32]
    """Rounds since each chunk was sent, before this choice; 0 if it was sent last round."""
    first: int = 0
    """The chunk that a client begins with when chunks go in turn."""
    client: int = -1
    """Whose choice it is; -1 for the coordinator's."""


class Scorer:
    """The score in force, and what has to be worked out for it."""

    def __init__(self, settings: Sections, layout: Layout, parameter_bounds: NDArray[np.int64]) -> None:
        """``parameter_bounds`` says where the model's T parameters begin and end in the flat vector: T + 1 numbers."""
        chunking = settings.chunking
        self._bound = settings.bound("score") if chunking.chunking else None
        self._layout = layout
        self._parameter_bounds = parameter_bounds
        self._metric = chunking.distance_metric
        self._age_exponent = chunking.chunk_age_exponent
        asks = frozenset(self._bound.asks) if self._bound else frozenset[str]()
        self.uses_gradient = bool(asks & GRADIENTS)
        """Whether training must add gradients up."""
        self.wants_gradient = "gradient_P" in asks
        """Whether the score looks at the gradient itself."""
        self.uses_withheld = bool(asks & WITHHELD)
        """Whether clients keep what they did not send, to score by it."""
        self.uses_withheld_norms = "withheld_C" in asks
        """Whether the score asks how much of each chunk that is."""
        self.uses_distances = chunking.chunking and (settings.tracking.record_chunks == "full" or "distances_C" in asks)
        """Whether the score or the records need the distance of each chunk between after and before training."""
        self.uses_moves = self.uses_distances or bool(asks & (CHANGES | BOTH_ENDS))
        """Whether the score or the records ask how far chunks moved."""
        self.uses_lengths = (self.uses_distances and self._metric == "cosine") or bool(asks & BOTH_ENDS)
        """Whether they ask how long chunks are before and after."""

    def distances(
        self,
        befores: Sequence[NDArray[np.float32]],
        afters: Sequence[NDArray[np.float32]],
        moved: distance.Squares | None,
    ) -> Sequence[NDArray[np.float32]] | None:
        """Distance of each chunk of G clients between after and before training, (C,) each; None where nobody needs it.

        Args:
            befores: weights before, (P,) each.
            afters: weights after.
            moved: the squared norms, (G, C).
        """
        if not self.uses_distances:
            return None
        if self._metric == "coordinate":
            pairs = zip(afters, befores, strict=True)
            return [distance.distances("coordinate", after_P, before_P, self._layout) for after_P, before_P in pairs]
        assert moved is not None
        return list(distance.by_squares(self._metric, moved))

    def scores(
        self,
        change: LocalChange,
        ages: Ages,
        make_rng: Callable[[], np.random.Generator],
    ) -> NDArray[np.float32]:
        """How much each chunk matters, (C,), its age taken in; 0 in full exchange, where nobody asks.

        ``make_rng`` is called if the score draws.

        Raises:
            ComponentFailed: a user's score raised, or gave back something else than C finite numbers.
        """
        if self._bound is None:
            return np.zeros(self._layout.num_chunks, np.float32)
        scores_C = self._bound(**{name: self._offer(name, change, ages, make_rng) for name in self._bound.asks})
        if self._bound.is_own:
            scores_C = self._checked(scores_C)
        return scoring.with_age(scores_C, ages.ages_C, self._age_exponent)

    def _offer(self, name: str, change: LocalChange, ages: Ages, make_rng: Callable[[], np.random.Generator]) -> Any:
        """What a score may ask for, worked out when it is."""
        match name:
            case "gradient_P" | "before_P" | "after_P" | "withheld_P" | "distances_C":
                return getattr(change, name)
            case "gradient_C" | "withheld_C":
                return _root(getattr(change, name))
            case "change_P":
                return change.after_P - change.before_P
            case "before_C":
                return _root(_there(change.moved).v_C)
            case "after_C":
                return _root(_there(change.moved).u_C)
            case "change_C":
                return _root(_there(change.moved).difference_C)
            case "rng":
                return make_rng()
            case _:
                return self._facts(ages)[name]

    def _facts(self, ages: Ages) -> dict[str, Any]:
        """What does not depend on the client's training."""
        return {
            "ages_C": ages.ages_C,
            "layout": self._layout,
            "parameter_bounds": self._parameter_bounds,
            "num_chunks": self._layout.num_chunks,
            "first_chunk": ages.first,
            "round_index": ages.round_index,
            "client": ages.client,
        }

    def _checked(self, answer: Any) -> NDArray[np.float32]:
        assert self._bound is not None
        with self._bound.named():
            scores_C = np.asarray(answer)
        if scores_C.shape != (self._layout.num_chunks,):
            shape = f"({self._layout.num_chunks},): a number for each chunk"
            raise self._bound.failed(f"returned scores of shape {scores_C.shape}, expected {shape}")
        if scores_C.dtype.kind not in "fiub":
            raise self._bound.failed(f"returned scores of type {scores_C.dtype}, expected numbers")
        scores_C = scores_C.astype(np.float32)
        bad = np.flatnonzero(~np.isfinite(scores_C))
        if len(bad):
            raise self._bound.failed(f"returned {scores_C[bad[0]]} for chunk {bad[0]}; scores must be finite")
        return scores_C


def _root(squares_C: NDArray[np.float64] | None) -> NDArray[np.float32]:
    return np.sqrt(_there(squares_C)).astype(np.float32)


def _there(value: _T | None) -> _T:
    assert value is not None, "the score asks for it, so it was worked out"
    return value
