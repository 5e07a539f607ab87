"""Weighted means, chunk by chunk, over those who sent the chunk. Sums travel; the mean is taken once.

A round's total is a tree: clients are added to the sum of their group in client order, from zero, and groups to the
total in group order. So the bits depend on the groups, never on where or when a client was added.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from fedchunk.orchestrator.chunking.layout import SHORT_CHUNK, Layout, Place


@dataclass(frozen=True)
class Update:
    """What one client adds to a round."""

    mask_C: NDArray[np.bool_]
    values: NDArray[np.float32]
    """The values of the chunks in ``mask_C``, one behind the other."""
    buffers_B: NDArray[np.float32]
    counters_I: NDArray[np.int64]
    weight: float
    """Its weight in the mean, > 0."""


@dataclass(frozen=True)
class PartialSum:
    """What a group of clients adds up to. It crosses process borders, so arrays may be read-only."""

    sums_P: NDArray[np.float64]
    weights_C: NDArray[np.float64]
    floats_B: NDArray[np.float64]
    counters_I: NDArray[np.float64]
    weight: float


BLOCK_VALUES = 1 << 16
"""Values summed at once: their sums and what is added, in float64, stay in a core's second-level cache (1 MiB)."""

MOST_WAITING = 4
"""Values that wait to be added, in times the vector's own. Few chunks of many clients then never need sums of the whole
vector, which are twice as large as it and come from memory for each addition."""

Sent = tuple[NDArray[np.bool_], NDArray[np.float32], float]
"""A client's chunks: mask, values and weight."""


class ChunkSum:
    """Sums of chunks and of the weights they came with, in float64.

    Add in client order, whatever order payloads arrive in: float sums depend on it. float64 keeps the rounding of
    the sum far below that of the float32 result. What is added may wait until sums are asked for: nobody may write to
    it any more.
    """

    def __init__(self, layout: Layout, block_values: int = BLOCK_VALUES) -> None:
        """``block_values`` changes the time that adding takes, and nothing else."""
        self._layout = layout
        self._sums_P: NDArray[np.float64] | None = None
        """The sums of all that does not wait; None where everything does."""
        self._waiting: list[Sent] = []
        self._weights_C = np.zeros(layout.num_chunks)
        self._block_values = min(block_values, layout.num_parameters)
        self._scratch = np.empty(self._block_values)

    def add(self, mask_C: NDArray[np.bool_], values: NDArray[np.float32], weight: float) -> None:
        """Adds one client's chunks: ``values`` are those of ``mask_C``, one behind the other."""
        self.add_all([(mask_C, values, weight)])

    def add_all(self, clients: Sequence[Sent]) -> None:
        """Adds the chunks of several clients, in order: mask, values and weight of each."""
        self._waiting.extend(clients)
        for mask_C, _, weight in clients:
            self._weights_C[mask_C] += weight
        if sum(len(values) for _, values, _ in self._waiting) > MOST_WAITING * self._layout.num_parameters:
            self._settle()

    def merge(self, sums_P: NDArray[np.float64], weights_C: NDArray[np.float64]) -> None:
        """Adds the sums of a group."""
        total_P = self._settle()
        total_P += sums_P
        self._weights_C += weights_C

    def _settle(self) -> NDArray[np.float64]:
        """The sums, of all that was added."""
        if self._sums_P is None:
            self._sums_P = np.zeros(self._layout.num_parameters)
        for _ in self._blocks() if self._waiting else ():
            pass
        return self._sums_P

    def _blocks(self) -> Iterator[tuple[slice, NDArray[np.float64]]]:
        """The vector, block by block, each with its sums: they stay in cache while all that is added passes by once.

        To the end: where there are sums of the whole vector, what waited is in them then. Else a block's sums hold
        until the next one.
        """
        places_of = [self._places_by_block(mask_C) for mask_C, _, _ in self._waiting]
        positions = [0] * len(self._waiting)
        block_sums = np.empty(self._block_values)
        for block, start in enumerate(range(0, self._layout.num_parameters, self._block_values)):
            here = slice(start, min(start + self._block_values, self._layout.num_parameters))
            if self._sums_P is None:
                sums = block_sums[: here.stop - here.start]
                sums.fill(0)
            else:
                sums = self._sums_P[here]
            for i, (_, values, weight) in enumerate(self._waiting):
                if places := places_of[i].get(block):
                    positions[i] += self._add_block(sums, places, values[positions[i] :], weight)
            yield here, sums
        if self._sums_P is not None:
            self._waiting.clear()

    def _places_by_block(self, mask_C: NDArray[np.bool_]) -> dict[int, list[tuple[Place, int]]]:
        """Where the chunks lie: per block the places in it, and how many values each picks."""
        places = self._layout.places(mask_C)
        if self._block_values == self._layout.num_parameters:
            return {0: places}
        blocks: dict[int, list[tuple[Place, int]]] = {}
        for place, _ in places:
            for block, part, count in _by_block(place, self._block_values):
                blocks.setdefault(block, []).append((part, count))
        return blocks

    def _add_block(
        self, sums: NDArray[np.float64], places: list[tuple[Place, int]], values: NDArray[np.float32], weight: float
    ) -> int:
        """Adds the first of ``values`` to their places in one block; returns how many they are."""
        total = sum(count for _, count in places)
        weighted = self._scratch[:total]
        np.copyto(weighted, values[:total])
        if weight != 1.0:
            weighted *= weight
        position = 0
        for place, count in places:
            sums[place] += weighted[position : position + count]
            position += count
        return total

    @property
    def sums_P(self) -> NDArray[np.float64]:
        """The sums, read-only; zero where nobody sent anything."""
        view = self._settle().view()
        view.setflags(write=False)
        return view

    @property
    def weights_C(self) -> NDArray[np.float64]:
        """Summed weight of each chunk's contributors; 0 where nobody sent it."""
        return self._weights_C.copy()

    @property
    def sent_C(self) -> NDArray[np.bool_]:
        """Which chunks somebody sent."""
        sent_C: NDArray[np.bool_] = self._weights_C > 0
        return sent_C

    def over(self, weight: float) -> NDArray[np.float32]:
        """The sums divided by one weight, (P,); zero where nobody sent anything."""
        out_P = np.empty(self._layout.num_parameters, np.float32)
        for here, sums in self._blocks():
            np.divide(sums, weight, out=out_P[here], casting="same_kind")
        return out_P

    def means_in(self, own_P: NDArray[np.float32]) -> NDArray[np.float32]:
        """A copy of ``own_P`` in which the mean of each chunk that somebody sent has taken its place."""
        out_P = np.empty_like(own_P)
        for here, sums in self._blocks():
            self._write_means(here, sums, own_P[here], out_P[here])
        return out_P

    def _write_means(
        self, here: slice, sums: NDArray[np.float64], own: NDArray[np.float32], out: NDArray[np.float32]
    ) -> None:
        """One block of :meth:`means_in`."""
        chunks, edges = self._layout.chunks_within(here.start, here.stop)
        weights = self._weights_C[chunks]
        if weights[0] > 0 and (weights == weights[0]).all():
            np.divide(sums, weights[0], out=out, casting="same_kind")
        elif SHORT_CHUNK * len(weights) > len(sums):
            weights_V = np.repeat(weights, np.diff(edges))
            np.copyto(out, own)
            np.divide(sums, weights_V, out=out, where=weights_V > 0, casting="same_kind")
        else:
            for weight, (start, stop) in zip(weights.tolist(), pairwise(edges), strict=True):
                if weight > 0:
                    np.divide(sums[start:stop], weight, out=out[start:stop], casting="same_kind")
                else:
                    out[start:stop] = own[start:stop]


ChunkRule = Callable[[NDArray[np.float32], NDArray[np.float64]], NDArray[np.float32]]
"""The aggregate of one chunk, (K,), of the values of those who sent it, (N, K), and their weights, (N,)."""


class ChunkValues:
    """Every client's chunks, kept apart, for rules that a sum is not enough for. Else as :class:`ChunkSum`."""

    def __init__(self, layout: Layout, rule: ChunkRule) -> None:
        self._layout = layout
        self._rule = rule
        self._clients: list[tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.float32], float]] = []

    def add(self, mask_C: NDArray[np.bool_], values: NDArray[np.float32], weight: float) -> None:
        """Keeps one client's chunks, in client order."""
        starts_C = np.zeros(self._layout.num_chunks, np.int64)
        sizes_K = self._layout.sizes_C[mask_C]
        starts_C[mask_C] = np.cumsum(sizes_K) - sizes_K
        self._clients.append((mask_C, starts_C, values, weight))

    def add_all(self, clients: Sequence[Sent]) -> None:
        """Keeps the chunks of several clients, in order."""
        for client in clients:
            self.add(*client)

    @property
    def weights_C(self) -> NDArray[np.float64]:
        """Summed weight of each chunk's contributors; 0 where nobody sent it."""
        weights_C = np.zeros(self._layout.num_chunks)
        for mask_C, _, _, weight in self._clients:
            weights_C[mask_C] += weight
        return weights_C

    @property
    def sent_C(self) -> NDArray[np.bool_]:
        """Which chunks somebody sent."""
        sent_C: NDArray[np.bool_] = self.weights_C > 0
        return sent_C

    def over(self, weight: float) -> NDArray[np.float32]:
        """Each chunk's aggregate times its contributors' share of ``weight``, (P,); zero where nobody sent anything.

        Of the weighted mean that is the sum divided by one weight: whoever did not send a chunk counts as no change.
        """
        out_P = np.zeros(self._layout.num_parameters, np.float32)
        weights_C = self.weights_C
        for chunk in np.flatnonzero(weights_C).tolist():
            out_P[self._place(chunk)] = self._aggregate(chunk) * np.float32(weights_C[chunk] / weight)
        return out_P

    def means_in(self, own_P: NDArray[np.float32]) -> NDArray[np.float32]:
        """A copy of ``own_P`` in which the aggregate of each chunk that somebody sent has taken its place."""
        out_P = own_P.copy()
        for chunk in np.flatnonzero(self.sent_C).tolist():
            out_P[self._place(chunk)] = self._aggregate(chunk)
        return out_P

    def _place(self, chunk: int) -> slice:
        return slice(int(self._layout.bounds[chunk]), int(self._layout.bounds[chunk + 1]))

    def _aggregate(self, chunk: int) -> NDArray[np.float32]:
        size = int(self._layout.sizes_C[chunk])
        sent = [(values[at[chunk] : at[chunk] + size], w) for mask_C, at, values, w in self._clients if mask_C[chunk]]
        return self._rule(np.stack([values for values, _ in sent]), np.array([weight for _, weight in sent]))


def _by_block(place: Place, block_values: int) -> Iterator[tuple[int, Place, int]]:
    """A place of the vector, cut where blocks end: block, place in the block, how many values it picks."""
    if isinstance(place, slice):
        start = place.start
        while start < place.stop:
            block, offset = divmod(start, block_values)
            count = min(place.stop - start, block_values - offset)
            yield block, slice(offset, offset + count), count
            start += count
    elif place.dtype == np.bool_:
        for block, start in enumerate(range(0, len(place), block_values)):
            part = place[start : start + block_values]
            yield block, part, int(np.count_nonzero(part))
    else:
        ends = np.searchsorted(place, range(block_values, int(place[-1]) + 1, block_values)).tolist()
        for block, (first, last) in enumerate(pairwise([0, *ends, len(place)])):
            if first < last:
                yield block, place[first:last] - block * block_values, last - first


class BufferMean:
    """Weighted mean of the model's other state, over all that sent it; counters are rounded to whole numbers."""

    def __init__(self, num_float: int, num_integer: int) -> None:
        self._floats_B = np.zeros(num_float)
        self._counters_I = np.zeros(num_integer)
        self._weight = 0.0

    def add(self, buffers_B: NDArray[np.float32], counters_I: NDArray[np.int64], weight: float) -> None:
        """Adds one client's buffers, in client order."""
        self._floats_B += buffers_B * np.float64(weight)
        self._counters_I += counters_I * np.float64(weight)
        self._weight += weight

    def merge(self, floats_B: NDArray[np.float64], counters_I: NDArray[np.float64], weight: float) -> None:
        """Adds the sums of a group."""
        self._floats_B += floats_B
        self._counters_I += counters_I
        self._weight += weight

    @property
    def sums(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The sums of floats and of counters."""
        return self._floats_B.copy(), self._counters_I.copy()

    @property
    def weight(self) -> float:
        """Summed weight of all that were added."""
        return self._weight

    def mean(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The means; at least one client must have been added."""
        floats_B = (self._floats_B / self._weight).astype(np.float32)
        return floats_B, np.rint(self._counters_I / self._weight).astype(np.int64)


class RoundSum:
    """Everything a round, or one group of its clients, adds up to. Add in client order, merge in group order."""

    def __init__(
        self,
        layout: Layout,
        num_float_buffers: int,
        num_integer_buffers: int,
        block_values: int = BLOCK_VALUES,
        rule: ChunkRule | None = None,
    ) -> None:
        """``rule``: how chunks are aggregated where it is not their weighted mean. Buffers always are their mean."""
        self.chunks: ChunkSum | ChunkValues = ChunkValues(layout, rule) if rule else ChunkSum(layout, block_values)
        self.buffers = BufferMean(num_float_buffers, num_integer_buffers)

    @property
    def weight(self) -> float:
        """Summed weight of all clients."""
        return self.buffers.weight

    def add(
        self,
        mask_C: NDArray[np.bool_],
        values: NDArray[np.float32],
        buffers_B: NDArray[np.float32],
        counters_I: NDArray[np.int64],
        weight: float,
    ) -> None:
        """Adds one client, see :class:`Update`."""
        self.chunks.add(mask_C, values, weight)
        self.buffers.add(buffers_B, counters_I, weight)

    def add_all(self, updates: Sequence[Update]) -> None:
        """Adds several clients, in order: the same bits as one by one, in less time for large models."""
        self.chunks.add_all([(update.mask_C, update.values, update.weight) for update in updates])
        for update in updates:
            self.buffers.add(update.buffers_B, update.counters_I, update.weight)

    def partial(self) -> PartialSum:
        """The sums so far. They share this object's memory, so nothing may be added to it afterwards."""
        assert isinstance(self.chunks, ChunkSum), "values that are kept apart do not travel as a sum"
        return PartialSum(self.chunks.sums_P, self.chunks.weights_C, *self.buffers.sums, self.weight)

    def merge(self, partial: PartialSum) -> None:
        """Adds the sum of a group. For a group of one client :meth:`add` gives the same bits without its zeros."""
        assert isinstance(self.chunks, ChunkSum), "a sum cannot be taken apart again"
        self.chunks.merge(partial.sums_P, partial.weights_C)
        self.buffers.merge(partial.floats_B, partial.counters_I, partial.weight)
