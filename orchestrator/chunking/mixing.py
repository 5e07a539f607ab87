"""Peer to peer: a receiver's next weights from its own and from its neighbours' chunks.

Three rules. :func:`mean_with_neighbours` (``contributors``) and :func:`mix_own_weights` (``own_weights``) take model
values that arrived in this round. :func:`mix_stale_copies` (``stale_copies``) takes changes: all that a client has sent
adds up to what its neighbours know of it, and what that lacks of its weights is what there is to send.

Sums are in float64 and go by client id, the receiver at its own place among its neighbours: two receivers that hear of
the same clients add the same numbers in the same order, and get the same bits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.chunking.aggregation import ChunkRule, ChunkSum, ChunkValues
from fedchunk.orchestrator.chunking.layout import Layout


@dataclass(frozen=True)
class Contribution:
    """The chunks that one neighbour sent, and what they weigh."""

    client_id: int
    mask_C: NDArray[np.bool_]
    values: NDArray[np.float32]
    """Values of the chunks of ``mask_C``, one chunk behind the other."""
    weight: float
    """1, or the number of samples; above 0."""


@dataclass(frozen=True)
class Receiver:
    """The client that mixes: its weights x_j as they are after its own training."""

    client_id: int
    weights_P: NDArray[np.float32]
    weight: float
    """As in :class:`Contribution`."""


def mean_with_neighbours(receiver: Receiver, neighbours: Sequence[Contribution], layout: Layout) -> NDArray[np.float32]:
    """The weighted mean, chunk by chunk, of the receiver and of those who sent the chunk.

    ``(a_j x_j + sum_i a_i x_i) / (a_j + sum_i a_i)`` over the neighbours i that sent it. The receiver always counts, so
    a chunk that nobody sent keeps its bits. If everybody hears everything from everybody, all get the bits of plain
    federated averaging.

    Args:
        receiver: the client whose next weights these are.
        neighbours: what arrived, in any order.
        layout: the cut.

    Returns:
        The next weights, (P,).

    Example:
        >>> receiver = Receiver(1, np.array([2, 2, 2, 2], np.float32), 1.0)
        >>> sent = Contribution(0, np.array([False, True]), np.array([4, 8], np.float32), 3.0)
        >>> mean_with_neighbours(receiver, [sent], Layout(4, 2)).tolist()
        [2.0, 2.0, 3.5, 6.5]
    """
    return _aggregated(receiver, neighbours, layout, ChunkSum(layout))


def aggregate_with_neighbours(
    receiver: Receiver, neighbours: Sequence[Contribution], layout: Layout, rule: ChunkRule
) -> NDArray[np.float32]:
    """As :func:`mean_with_neighbours`, by another rule than the mean: the receiver is one of a chunk's contributors.

    Example:
        >>> receiver = Receiver(1, np.array([2, 2, 2, 2], np.float32), 1.0)
        >>> sent = Contribution(0, np.array([False, True]), np.array([4, 8], np.float32), 3.0)
        >>> aggregate_with_neighbours(receiver, [sent], Layout(4, 2), lambda values_NK, _: values_NK.max(0)).tolist()
        [2.0, 2.0, 4.0, 8.0]
    """
    return _aggregated(receiver, neighbours, layout, ChunkValues(layout, rule))


def _aggregated(
    receiver: Receiver, neighbours: Sequence[Contribution], layout: Layout, total: ChunkSum | ChunkValues
) -> NDArray[np.float32]:
    heard_C = np.zeros(layout.num_chunks, np.bool_)
    for neighbour in neighbours:
        heard_C |= neighbour.mask_C
    own = np.empty(layout.num_values(heard_C), np.float32)
    layout.cut(receiver.weights_P, heard_C, own)
    everybody = [*neighbours, Contribution(receiver.client_id, heard_C, own, receiver.weight)]
    for contribution in _by_client(everybody):
        total.add(contribution.mask_C, contribution.values, contribution.weight)
    return total.means_in(receiver.weights_P)


def mix_own_weights(receiver: Receiver, neighbours: Sequence[Contribution], layout: Layout) -> NDArray[np.float32]:
    """FedPilot's sentence taken literally: a chunk that a neighbour did not send counts with the receiver's weights.

    ``x_j + sum_i a_i (x_i - x_j)`` over the neighbours i that sent the chunk, where ``sum a = 1`` over the receiver and
    *all* of ``neighbours``, those who sent little or nothing included.

    Args:
        receiver: the client whose next weights these are.
        neighbours: all neighbours of the round, in any order; a mask may be empty.
        layout: the cut.

    Returns:
        The next weights, (P,).

    Example:
        >>> receiver = Receiver(1, np.array([2, 2, 2, 2], np.float32), 1.0)
        >>> sent = Contribution(0, np.array([False, True]), np.array([4, 8], np.float32), 1.0)
        >>> silent = Contribution(2, np.array([False, False]), np.empty(0, np.float32), 2.0)
        >>> mix_own_weights(receiver, [sent, silent], Layout(4, 2)).tolist()
        [2.0, 2.0, 2.5, 3.5]
    """
    whole = sum(neighbour.weight for neighbour in _by_client(neighbours)) + receiver.weight
    mixed_P = receiver.weights_P.astype(np.float64)
    for neighbour in _by_client(neighbours):
        share = neighbour.weight / whole
        for here, values in _parts(neighbour, layout):
            mixed_P[here] += share * np.subtract(values, receiver.weights_P[here], dtype=np.float64)
    return mixed_P.astype(np.float32)


@dataclass(frozen=True)
class SentChange:
    """The change that a client has sent to its neighbours."""

    mask_C: NDArray[np.bool_]
    values: NDArray[np.float32]
    """Of the chunks of ``mask_C``, one chunk behind the other, as the receivers see them."""


def mix_stale_copies(
    public_P: NDArray[np.float32],
    sum_P: NDArray[np.float32],
    own: SentChange | None,
    heard: Sequence[SentChange | None],
    weights: Sequence[float],
    step: float,
    layout: Layout,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What neighbours know of a client, moved towards what was last heard of them: ``z_i = c_i + step * s_i``.

    c_i is the sum of all that client i has ever sent, on top of the model that all begin with, and
    ``s_i = sum_j w_ij (c_j - c_i)`` over its neighbours. No copy of a neighbour is kept: a round's messages q change
    s_i by ``sum_j w_ij q_j - (sum_j w_ij) q_i``, and z_i by q_i and a step of that. What a client has not sent,
    ``e_i = x_i - c_i``, is its own to keep, and ``x_i = z_i + e_i`` are the weights of CHOCO-SGD (Koloskova, Stich &
    Jaggi 2019, "Decentralized Stochastic Optimization and Gossip Algorithms with Compressed Communication",
    arXiv 1902.00340, algorithm 2, and its efficient form). With symmetric ``w`` the sum of all s is 0, so the average
    of the z is that of the c, however much these lack.

    Args:
        public_P: z_i, as it was.
        sum_P: s_i, as it was; 0 where all begin with the same model.
        own: q_i; None where nobody could read it, or it sent nothing.
        heard: q_j of each neighbour, likewise.
        weights: w_ij of each, in the same order; see :func:`fedchunk.orchestrator.methods.topology.metropolis_weights`.
        step: gamma, above 0 and at most 1; large ones diverge when copies lack much.
        layout: the cut.

    Returns:
        z_i and s_i after the round, (P,) each.

    Example:
        >>> both, zero = np.array([True, True]), np.zeros(2, np.float32)
        >>> own, other = (SentChange(both, np.array(values, np.float32)) for values in ([4, 0], [8, 2]))
        >>> z_P, s_P = mix_stale_copies(zero, zero, own, [other], [0.5], 0.25, Layout(2, 2))
        >>> z_P.tolist(), s_P.tolist()
        ([4.5, 0.25], [2.0, 1.0])
    """
    moved_P = np.zeros(layout.num_parameters)
    for one, weight in zip([*heard, own], [*weights, -sum(weights)], strict=True):
        if one is not None:
            layout.add(np.multiply(one.values, weight, dtype=np.float64), one.mask_C, moved_P)
    next_sum_P = (sum_P + moved_P).astype(np.float32)
    moved_P *= step
    if own is not None:
        layout.add(own.values.astype(np.float64), own.mask_C, moved_P)
    return (public_P + moved_P).astype(np.float32), next_sum_P


def consensus_distance(models: Iterable[NDArray[np.float32]]) -> float:
    """How far the clients' models are from their mean: ``(1/N) sum_i |x_i - mean|^2``; 0 if all are equal.

    One pass, with two vectors in memory, by Welford's recurrence (1962): sums of squares would lose all digits when
    the models are nearly equal.

    Args:
        models: the weights of each client, (P,) each, in client order; at least one.

    Example:
        >>> consensus_distance(np.array([[0, 0], [2, 4]], np.float32))
        5.0
    """
    iterator = iter(models)
    mean_P = next(iterator).astype(np.float64)
    squares, count = 0.0, 1
    for count, model_P in enumerate(iterator, 2):
        away_P = model_P - mean_P
        # sum (x - old mean) (x - new mean) = |x - old mean|^2 (n - 1) / n
        squares += float(np.square(away_P).sum()) * (count - 1) / count
        mean_P += away_P / count
    return squares / count


def _by_client(contributions: Sequence[Contribution]) -> list[Contribution]:
    return sorted(contributions, key=lambda contribution: contribution.client_id)


def _parts(contribution: Contribution, layout: Layout) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """The places in the flat vector that a contribution covers, and its values there."""
    position = 0
    for start, stop in layout.runs(contribution.mask_C):
        yield slice(start, stop), contribution.values[position : position + stop - start]
        position += stop - start
