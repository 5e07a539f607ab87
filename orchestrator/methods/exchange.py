"""Where the settings' names meet the chunk functions: what a client sends, and what a receiver makes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from fedchunk.orchestrator.chunking import distance, reconstruction, scoring, selection, sensitivity
from fedchunk.orchestrator.chunking.encoding import PLAIN, Message, Packing, message_bytes
from fedchunk.orchestrator.chunking.layout import Layout
from fedchunk.orchestrator.contract.messages import ModelState
from fedchunk.orchestrator.core.errors import ConfigError, Fault
from fedchunk.orchestrator.methods.sensitivity import decide
from fedchunk.orchestrator.settings.sections import ChunkingSettings, FederationSettings
from numpy.typing import NDArray


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


@dataclass(frozen=True)
class Ages:
    """What a choice has to know of the past."""

    round_index: int
    ages_C: NDArray[np.int32]
    """Rounds since each chunk was sent, before this choice; 0 if it was sent last round."""
    first: int = 0
    """The chunk that a client begins with when chunks go in turn."""


@dataclass(frozen=True)
class Choice:
    """Which chunks go, and why so many."""

    selected_C: NDArray[np.bool_]
    reason: str


def layout_for(settings: ChunkingSettings, num_parameters: int) -> Layout:
    """The cut in force: ``chunking_parts`` chunks, or the whole model as one when chunking is off.

    Raises ConfigError when there would be more chunks than parameters.
    """
    num_chunks = settings.chunking_parts if settings.chunking else 1
    try:
        return Layout(num_parameters, num_chunks)
    except ValueError as error:
        raise ConfigError([Fault("", "chunking_parts", str(error))]) from error


def packing_of(settings: ChunkingSettings) -> Packing:
    """How values travel; full exchange is always plain float32."""
    return Packing(settings.chunk_encoding, settings.chunk_compression) if settings.chunking else PLAIN


def withholds(settings: ChunkingSettings) -> bool:
    """Whether clients keep what they did not send: to send it later, or to score by it."""
    return settings.feeds_back or (settings.chunking and settings.score == "accumulated")


def client_weight(settings: FederationSettings, num_samples: int) -> float:
    """A client's weight in the mean."""
    return float(num_samples) if settings.aggregation_sample_scaling else 1.0


def keeps_states(settings: ChunkingSettings, federation: FederationSettings) -> bool:
    """Whether clients have anything to remember: in full exchange the next message replaces all that they are."""
    return settings.chunking or federation.evaluate_clients


def uses_gradient(settings: ChunkingSettings) -> bool:
    """Whether scores are made of gradients, so that training must add them up."""
    return settings.chunking and settings.score == "gradient"


def uses_distances(settings: ChunkingSettings, *, for_records: bool) -> bool:
    """Whether a score or the records need the distance of each chunk between after and before training."""
    return settings.chunking and (for_records or settings.score == "distance")


def uses_moves(settings: ChunkingSettings, *, for_records: bool) -> bool:
    """Whether a score or the records ask how far chunks moved."""
    return settings.chunking and (settings.score == "update" or uses_distances(settings, for_records=for_records))


def starting_weights(
    settings: ChunkingSettings, shared_P: NDArray[np.float32], withheld_P: NDArray[np.float32] | None
) -> NDArray[np.float32]:
    """Where a client's training begins: the shared model, plus ``withheld_share`` of what it keeps back.

    From the shared model alone a client finds the same change again in every round in which a chunk waits, and the
    chunk overshoots when it goes at last; from its own model it would never see the others' errors in that chunk.
    (A step ahead by a part of the residual, as in SA-PEF, arXiv 2601.20738.)
    """
    if not settings.feeds_back or settings.withheld_share == 0 or withheld_P is None:
        return shared_P
    return shared_P + np.float32(settings.withheld_share) * withheld_P


def measure_distances(
    settings: ChunkingSettings, layout: Layout, change: LocalChange, *, for_records: bool
) -> NDArray[np.float32] | None:
    """Distance of each chunk between after and before training; None where nobody needs it."""
    if not uses_distances(settings, for_records=for_records):
        return None
    return distance.distances(settings.distance_metric, change.after_P, change.before_P, layout, change.moved)


def score(
    settings: ChunkingSettings,
    layout: Layout,
    change: LocalChange,
    distances_C: NDArray[np.float32] | None,
    ages: Ages,
    make_rng: Callable[[], np.random.Generator],
) -> NDArray[np.float32]:
    """How much each chunk matters by the rule in force, its age taken in; 0 in full exchange, where nobody asks.

    ``make_rng`` is called if the rule draws.
    """
    if not settings.chunking:
        return np.zeros(layout.num_chunks, np.float32)
    rule = settings.score
    if rule == "random":
        scores_C = scoring.at_random(layout.num_chunks, make_rng())
    elif rule == "round_robin":
        scores_C = scoring.round_robin(ages.ages_C, ages.first)
    elif rule == "distance" and distances_C is not None:
        scores_C = distances_C
    elif rule == "update":
        assert change.moved is not None
        norms_C = np.sqrt(change.moved.difference_C).astype(np.float32)
        scores_C = scoring.per_value(norms_C, layout.sizes_C)
    elif rule == "relative":
        scores_C = scoring.relative(change.after_P - change.before_P, change.before_P, layout)
    elif rule == "accumulated" and change.withheld_P is not None:
        scores_C = scoring.per_value(scoring.norms(change.withheld_P, layout), layout.sizes_C)
    else:
        assert change.gradient_C is not None
        scores_C = np.sqrt(change.gradient_C).astype(np.float32)
    return scoring.with_age(scores_C, ages.ages_C, settings.chunk_age_exponent)


def choose(settings: ChunkingSettings, scores_C: NDArray[np.float32], ages: Ages, affordable: int | None) -> Choice:
    """The chunks to send: as many as the policy, the budget and the ages say, by score.

    Args:
        settings: the rules.
        scores_C: from :func:`score`, or agreed.
        ages: the past.
        affordable: most chunks that the round's bytes allow; None: no budget.
    """
    overdue = 0 if settings.chunk_max_age is None else int((ages.ages_C >= settings.chunk_max_age).sum())
    count = decide(settings, scores_C, round_index=ages.round_index, overdue=overdue, affordable=affordable)
    if settings.chunk_max_age is None:
        return Choice(selection.best(scores_C, count.chunks), count.reason)
    selected_C = selection.best_with_oldest_first(scores_C, count.chunks, ages.ages_C, settings.chunk_max_age)
    return Choice(selected_C, count.reason)


def affordable_chunks(
    settings: ChunkingSettings, layout: Layout, num_float: int, num_integer: int, most_bytes: int | None
) -> int | None:
    """How many chunks fit into a message of ``most_bytes``, counted with the largest chunk; None: no limit."""
    if most_bytes is None:
        return None

    def length(chunks: int) -> int:
        sizes = message_bytes(
            layout.num_chunks,
            chunks * int(layout.sizes_C.max()),
            num_float,
            num_integer,
            num_selected=chunks,
            encoding=settings.chunk_encoding,
        )
        return sum(sizes.values())

    return sensitivity.budget(layout.num_chunks, most_bytes, length)


def reconstruct(own: ModelState | None, message: Message, layout: Layout) -> ModelState:
    """A receiver's next model from its own and from what arrived; the message says by which rule.

    Changes are added; values with shares are mixed with the receiver's own; other values take their place. A
    receiver that has no model yet must have been sent the whole of it.
    """
    whole = message.mask_C.all() and not message.is_change and message.shares_K is None
    if whole:
        weights_P = message.values
    elif own is None:
        raise AssertionError("a client without weights was sent a part of the model")
    elif message.is_change:
        weights_P = own.weights_P.copy()
        layout.add(message.values, message.mask_C, weights_P)
    elif message.shares_K is None:
        weights_P = reconstruction.from_contributors(own.weights_P, message.mask_C, message.values, layout)
    else:
        weights_P = reconstruction.with_own_weights(
            own.weights_P, message.mask_C, message.values, message.shares_K, layout
        )
    if message.buffers_B is not None and message.counters_I is not None:
        return ModelState(weights_P, message.buffers_B, message.counters_I)
    assert own is not None, "a client without buffers was sent none"
    return ModelState(weights_P, own.buffers_B, own.counters_I)
