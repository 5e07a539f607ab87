"""Where the settings' names meet the chunk functions: what a client sends, and what a receiver makes of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from orchestrator.chunking import distance, reconstruction, scoring, selection, sensitivity
from orchestrator.chunking.encoding import Message
from orchestrator.chunking.layout import Layout
from orchestrator.errors import ConfigError, Fault
from orchestrator.messages import ModelState
from orchestrator.settings import ChunkingSettings


@dataclass(frozen=True)
class LocalChange:
    """What a client knows after local training: weights before and after, and the mean gradient."""

    before_P: NDArray[np.float32]
    after_P: NDArray[np.float32]
    gradient_P: NDArray[np.float32]


@dataclass(frozen=True)
class Choice:
    """Which chunks a client sends, and why."""

    selected_C: NDArray[np.bool_]
    scores_C: NDArray[np.float32]
    distances_C: NDArray[np.float32] | None


def layout_for(settings: ChunkingSettings, num_parameters: int) -> Layout:
    """The cut in force: ``chunking_parts`` chunks, or the whole model as one when chunking is off.

    Raises ConfigError when there would be more chunks than parameters.
    """
    num_chunks = settings.chunking_parts if settings.chunking else 1
    try:
        return Layout(num_parameters, num_chunks)
    except ValueError as error:
        raise ConfigError([Fault("", "chunking_parts", str(error))]) from error


def choose(
    settings: ChunkingSettings, layout: Layout, change: LocalChange, rng: np.random.Generator, *, measure: bool
) -> Choice:
    """Scores the chunks of a client's change and selects those it sends.

    Args:
        settings: the rules.
        layout: the cut.
        change: what local training did.
        rng: for random scores.
        measure: also work out distances that the choice itself does not need, for the records.
    """
    by_distance = settings.score == "distance" and settings.chunking
    distances_C = None
    if by_distance or (measure and settings.chunking):
        distances_C = distance.distances(settings.distance_metric, change.after_P, change.before_P, layout)
    if distances_C is not None and by_distance:
        scores_C = distances_C
    elif settings.score == "random":
        scores_C = scoring.at_random(layout.num_chunks, rng)
    else:
        scores_C = scoring.norms(change.gradient_P, layout)
    return Choice(selection.best(scores_C, count(settings, scores_C)), scores_C, distances_C)


def count(settings: ChunkingSettings, scores_C: NDArray[np.float32]) -> int:
    """K, the number of chunks to send: all of them when chunking is off."""
    if not settings.chunking:
        return len(scores_C)
    ceiling = sensitivity.fixed(len(scores_C), settings.sensitivity_percentage)
    if settings.dynamic_sensitivity_percentage:
        return sensitivity.energy(scores_C, settings.sensitivity_energy, ceiling)
    return ceiling


def reconstruct(own: ModelState | None, message: Message, layout: Layout) -> ModelState:
    """A receiver's next model from its own and from what arrived; the message says by which rule.

    A message with shares is mixed with the receiver's own weights, one without replaces them. A receiver that has
    no model yet must have been sent the whole of it.
    """
    if own is None:
        assert message.mask_C.all(), "a client without weights was sent a part of the model"
        own_P = np.empty(layout.num_parameters, np.float32)
        weights_P = reconstruction.from_contributors(own_P, message.mask_C, message.values, layout)
    elif message.shares_K is None:
        weights_P = reconstruction.from_contributors(own.weights_P, message.mask_C, message.values, layout)
    else:
        weights_P = reconstruction.with_own_weights(
            own.weights_P, message.mask_C, message.values, message.shares_K, layout
        )
    return ModelState(weights_P, *_buffers(own, message))


def _buffers(own: ModelState | None, message: Message) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    if message.buffers_B is not None and message.counters_I is not None:
        return message.buffers_B, message.counters_I
    assert own is not None, "a client without buffers was sent none"
    return own.buffers_B, own.counters_I
