"""The ChunkAnalyzer: which chunks matter, to whom, and how alike the choices are.

The names and argument order are those of FedPilot's research tool. It works on recorded runs, so it needs no live
clients, and on every round or on one.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedchunk.analysis.method import method_of
from fedchunk.analysis.overlap import Agreement, agreement, expected_jaccard
from fedchunk.analysis.recorded import RecordedClient
from fedchunk.analysis.results import ChunkDistribution, ChunkImportance, ChunkOverlap, ClientSelection
from fedchunk.analysis.statistics import (
    bottom_indices,
    coverage,
    effective_chunks,
    energy_captured,
    gini,
    selection_counts,
    top_indices,
)

ENDS = 5
"""How many of the most and least important chunks are named, as FedPilot's analyser does."""

Chunks = RecordedClient | Iterable[int] | Iterable[bool]
"""A selection: chunk indices, a mask over all chunks, or a client (what it sent)."""


class ChunkAnalyzer:
    """Answers questions about a recorded run; keeps nothing.

    Example:
        >>> print(ChunkAnalyzer().calculate_chunk_overlap([0, 1, 2], [2, 3], num_chunks=10).jaccard_similarity)
        0.25
    """

    def analyze_chunk_distribution(
        self, clients: Sequence[RecordedClient], config: Mapping[str, Any], round_index: int | None = None
    ) -> ChunkDistribution:
        """Which chunks each client sends, how often each chunk is sent, and which are never sent.

        Args:
            clients: ``run.recorded_clients``, or some of them; a client may be absent from any round.
            config: ``run.config``.
            round_index: one round; None: all rounds.

        Raises:
            ValueError: no clients, nothing recorded for the round, or clients and settings of different runs.
        """
        num_chunks = _common_chunks(clients, config)
        found = np.unique(np.concatenate([c.rounds_R[c.rows_of(round_index)] for c in clients]))
        if not len(found):
            raise ValueError(_nothing_recorded("any of the clients", round_index))
        counts_RC = selection_counts(found, ((c.rounds_R, c.selected_RC) for c in clients), num_chunks)
        sent = np.stack([c.chunks_sent(round_index) for c in clients])
        return ChunkDistribution(
            total_chunks=num_chunks,
            sensitivity_percentage=config.get("sensitivity_percentage"),
            rounds=tuple(int(r) for r in found),
            clients=tuple(_selection(client, round_index) for client in clients),
            chunk_popularity_C=sent.sum(axis=0),
            chunk_selections_C=counts_RC.sum(axis=0),
            mean_round_coverage=float(coverage(counts_RC).mean()),
            agreement=mean_agreement(clients, found),
        )

    def calculate_chunk_overlap(
        self,
        client1_chunks: Chunks,
        client2_chunks: Chunks,
        num_chunks: int | None = None,
        round_index: int | None = None,
    ) -> ChunkOverlap:
        """Jaccard similarity of two selections, and what chance alone would give.

        Args:
            client1_chunks: chunk indices (a repeated one counts once), a boolean mask, or a recorded client.
            client2_chunks: likewise; the two may differ in kind and size.
            num_chunks: C, for what chance would give; masks and clients know it.
            round_index: for recorded clients: one round; None: all they ever sent.

        Raises:
            ValueError: indices outside the chunks, or selections of models with different numbers of chunks.
        """
        sets, sizes = zip(
            *(_as_set(chunks, round_index) for chunks in (client1_chunks, client2_chunks)), strict=True
        )  # fmt: skip
        total = _agreed_size({size for size in (*sizes, num_chunks) if size is not None})
        first, second = sets
        if total is not None and max(first | second, default=-1) >= total:
            raise ValueError(f"chunk {max(first | second)} is not one of num_chunks={total}; chunks count from 0")
        shared, union, smaller = len(first & second), len(first | second), min(len(first), len(second))
        return ChunkOverlap(
            intersection_size=shared,
            union_size=union,
            jaccard_similarity=shared / union if union else 1.0,
            overlap_coefficient=shared / smaller if smaller else float(union == 0),
            expected_jaccard=None if total is None else expected_jaccard(len(first), len(second), total),
        )

    def get_chunk_importance_distribution(
        self, client: RecordedClient, config: Mapping[str, Any], round_index: int | None = None
    ) -> ChunkImportance:
        """How one client's importance scores spread over the chunks.

        Args:
            client: one of ``run.recorded_clients``.
            config: ``run.config``.
            round_index: one round; None: the mean over all rounds in which the client's update counted.

        Raises:
            ValueError: the client has nothing recorded for the round, or comes from another run than the settings.
        """
        _common_chunks([client], config)
        rows = client.rows_of(round_index)
        if not len(rows):
            raise ValueError(_nothing_recorded(f"client {client.client}", round_index))
        scores_RC, selected_RC = client.scores_RC[rows], client.selected_RC[rows]
        importance_C = scores_RC.mean(axis=0, dtype=np.float64)
        return ChunkImportance(
            client=client.client,
            score=method_of(config).score or "none",
            rounds=tuple(int(r) for r in client.rounds_R[rows]),
            chunk_importance_C=importance_C,
            times_sent_C=selected_RC.sum(axis=0),
            gini=gini(importance_C),
            effective_chunks=effective_chunks(importance_C),
            energy_captured=float(energy_captured(scores_RC, selected_RC).mean()),
            top_chunks=top_indices(importance_C, ENDS),
            bottom_chunks=bottom_indices(importance_C, ENDS),
        )


def mean_agreement(clients: Sequence[RecordedClient], rounds: Iterable[int]) -> Agreement | None:
    """Agreement over all pairs of clients that took part in the same round, each pair counted once for each round."""
    found = []
    for round_index in rounds:
        rows = [c.selected_RC[c.rows_of(round_index)] for c in clients]
        of_round = agreement(np.concatenate(rows))
        if of_round is not None:
            found.append(of_round)
    if not found:
        return None
    pairs = [a.pairs for a in found]
    return Agreement(
        sum(pairs),
        float(np.average([a.jaccard for a in found], weights=pairs)),
        float(np.average([a.expected_jaccard for a in found], weights=pairs)),
    )


def _selection(client: RecordedClient, round_index: int | None) -> ClientSelection:
    rows = client.rows_of(round_index)
    sent = int(client.selected_RC[rows].sum())
    return ClientSelection(
        client=client.client,
        rounds=len(rows),
        selected_chunks=tuple(int(c) for c in np.flatnonzero(client.chunks_sent(round_index))),
        num_selections=sent,
        selection_percentage=100 * sent / (len(rows) * client.num_chunks) if len(rows) else None,
    )


def _common_chunks(clients: Sequence[RecordedClient], config: Mapping[str, Any]) -> int:
    """C, after checking that the clients have the same and that the settings are of their run."""
    if not clients:
        raise ValueError(
            "clients: got none, needs at least one; give run.recorded_clients of a run that recorded chunks"
        )
    num_chunks = _agreed_size({client.num_chunks for client in clients})
    assert num_chunks is not None
    parts = config.get("chunking_parts")
    if config.get("chunking") and parts is not None and int(parts) != num_chunks:
        raise ValueError(
            f"config: chunking_parts is {parts}, but the clients have {num_chunks} chunks; give run.config of their run"
        )
    return num_chunks


def _agreed_size(sizes: set[int]) -> int | None:
    if len(sizes) > 1:
        raise ValueError(f"selections of different models: {' and '.join(map(str, sorted(sizes)))} chunks")
    return next(iter(sizes), None)


def _nothing_recorded(who: str, round_index: int | None) -> str:
    when = "in any round" if round_index is None else f"in round {round_index}"
    return (
        f"no chunks of {who} are recorded {when}; choose a round in which its update counted, "
        "and run with record_chunks: true"
    )


def _as_set(chunks: Chunks, round_index: int | None) -> tuple[set[int], int | None]:
    """The selected indices, and the number of all chunks where it is known."""
    if isinstance(chunks, RecordedClient):
        return _mask_set(chunks.chunks_sent(round_index)), chunks.num_chunks
    items: list[Any] = list(chunks)
    if items and all(isinstance(item, bool | np.bool_) for item in items):
        return _mask_set(np.array(items)), len(items)
    if any(isinstance(item, bool | np.bool_) for item in items):
        raise ValueError("chunks: got numbers mixed with booleans; give indices, or a mask of booleans alone")
    try:
        indices = {operator.index(item) for item in items}
    except TypeError:
        raise ValueError("chunks: needs whole numbers from 0, a mask of booleans, or a recorded client") from None
    if indices and min(indices) < 0:
        raise ValueError(f"chunks: got chunk {min(indices)}; chunks count from 0")
    return indices, None


def _mask_set(mask_C: NDArray[np.bool_]) -> set[int]:
    return {int(c) for c in np.flatnonzero(mask_C)}
